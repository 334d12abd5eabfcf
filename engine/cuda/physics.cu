// Proof that every header of engine/devices and engine/quantizers compiles for the device: a kernel that calls each of
// their functions which no other .cu calls. It is compiled, never launched.

#include "engine/devices/models.h"
#include "engine/devices/windows.h"
#include "engine/quantizers/levels.h"
#include "engine/quantizers/quantizers.h"

namespace memtorch::cuda {
namespace {

template <class T, class... Q>
__device__ T Quantized(QuantizerList<Q...>, const FitRange& range, int bits, T x) {
  return (Q::Fit(range, bits, 1e300)(x) + ...);
}

}  // namespace

__global__ void QuantizeAndWindow(FitRange range, int bits, const double* x, const float* y, double* out) {
  const int i = static_cast<int>(threadIdx.x);
  out[i] = Quantized(Quantizers(), range, bits, x[i]) +
           static_cast<double>(Quantized(Quantizers(), range, bits, y[i])) +
           LevelQuantizer::FitLevels(range.low, range.high, bits)(x[i]) + Biolek(x[i], range.low, range.high) +
           Joglekar(x[i], range.high) + Prodromakis(x[i], range.low, range.high);
}

}  // namespace memtorch::cuda
