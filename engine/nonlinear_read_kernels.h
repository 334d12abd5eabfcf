// The inner loops of nonlinear_read.h, one table per instruction set (engine/simd.h).
//
// Arguments are checked already; `model` is a position in engine/devices/models.h.
#ifndef MEMTORCH_ENGINE_NONLINEAR_READ_KERNELS_H_
#define MEMTORCH_ENGINE_NONLINEAR_READ_KERNELS_H_

#include "engine/nonlinear_read.h"
#include "engine/simulate_kernels.h"

namespace memtorch {

// Columns of a tile that are read together.
constexpr int64_t kReadColumns = 128;

// Where a block of columns of a tile lies.
struct ReadBlock {
  int64_t tile;
  int64_t first;  // column within the tile, a multiple of kReadColumns
};

struct NonlinearReadKernels {
  void (*shape)(int model, const DeviceView& devices, const double* v, int64_t n, double* shape, double* slope);
  // Of the devices [begin, end), each with its own parameters; the arrays begin with the first of them.
  void (*shapes)(int model, const DeviceView& devices, int64_t begin, int64_t end, const double* v, double* shape,
                 double* slope);
  void (*read)(int model, const NonlinearRead& job, const ReadBlock& block, double* partial);
  // Of one row of the matrix. g_grad may be null.
  void (*gradient)(int model, const NonlinearRead& job, int64_t row, const double* partial_grad, double* v_grad,
                   double* g_grad);
  // noise: some device reads its normal draws.
  void (*simulate)(int model, const NonlinearRead& job, const SimulatedReadOptions& options, bool noise,
                   const ReadBlock& block, double* partial);
  // One step of all devices, each at a voltage of its own: a waveform [size, 1]. `input` keys the draws.
  void (*step)(int model, const SimulateJob& job, int64_t input);
};

namespace baseline {
extern const NonlinearReadKernels kNonlinearRead;
}
namespace avx2 {
extern const NonlinearReadKernels kNonlinearRead;
}
namespace avx512 {
extern const NonlinearReadKernels kNonlinearRead;
}

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_NONLINEAR_READ_KERNELS_H_
