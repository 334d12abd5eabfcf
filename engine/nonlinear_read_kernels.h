// The inner loops of nonlinear_read.h, one table per instruction set (engine/simd.h).
//
// Arguments are checked already; `model` is a position in engine/devices/models.h.
#ifndef MEMTORCH_ENGINE_NONLINEAR_READ_KERNELS_H_
#define MEMTORCH_ENGINE_NONLINEAR_READ_KERNELS_H_

#include "engine/nonlinear_read.h"

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
  void (*read)(int model, const NonlinearRead& job, const ReadBlock& block, double* partial);
  // Of one row of the matrix.
  void (*gradient)(int model, const NonlinearRead& job, int64_t row, const double* partial_grad, double* v_grad);
  // noise: some device reads its normal draws.
  void (*simulate)(int model, const NonlinearRead& job, const SimulatedReadOptions& options, bool noise,
                   const ReadBlock& block, double* partial);
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
