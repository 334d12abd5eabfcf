// The converters of tiles: DigitizeAndSum of quantize.h.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <utility>

#include "engine/parallel.h"
#include "engine/quantize.h"
#include "engine/quantize_checks.h"
#include "engine/quantize_kernels.h"

namespace memtorch {
namespace {

constexpr int64_t kGrain = 32768;  // partial sums a thread takes at a time, or one strip

// Throws for the first partial sum that is no number. Called only when there is one.
template <class T>
[[noreturn]] void ThrowNotFinite(const PartialSums<T>& in) {
  const int64_t size = in.parts * in.outer * in.cols * in.inner;
  for (int64_t i = 0; i < size; ++i) {
    const int64_t s = i % in.inner;
    const int64_t c = i / in.inner % in.cols;
    const int64_t n = i / (in.inner * in.cols) % in.outer;
    const int64_t t = i / (in.inner * in.cols * in.outer);
    const T x = in.data[t * in.part_stride + n * in.outer_stride + c * in.col_stride + s * in.inner_stride];
    if (!std::isfinite(x)) Invalid("adc", "partial[", t, ", ", n, ", ", c, ", ", s, "] (", x, " A) must be finite");
  }
  Invalid("adc", "partial must be finite");
}

// Any method, one converter after the other.
template <class T>
bool DigitizeOneByOne(const AdcOptions& adc, const AdcStrip<T>& in, T* out) {
  const QuantizeOptions options{adc.method, adc.bits, adc.overflow_rate};
  const double low = -adc.range;
  const Bounds bounds = adc.range > 0 ? Bounds{&low, &adc.range, 0} : Bounds{};
  std::vector<T> row(static_cast<size_t>(in.cols)), sum(row.size());
  for (int64_t s = 0; s < in.width; ++s) {
    std::fill(sum.begin(), sum.end(), T(0));
    for (int64_t t = 0; t < in.parts; ++t) {
      const T* x = in.data + t * in.part_stride + s * in.inner_stride;
      for (size_t c = 0; c < row.size(); ++c) row[c] = x[static_cast<int64_t>(c) * in.col_stride];
      if (!ActiveQuantizeKernels<T>().summarize(row.data(), in.cols).finite) return false;
      Quantize(options, bounds, row.data(), row.data(), in.cols);
      for (size_t c = 0; c < row.size(); ++c) sum[c] += row[c];
    }
    T* y = out + s * in.inner_stride;
    for (size_t c = 0; c < row.size(); ++c) y[static_cast<int64_t>(c) * in.col_stride] = sum[c];
  }
  return true;
}

// The tiles of one strip: element (t, 0, 0) of all columns is in.data[t * part_stride].
template <class T>
bool DigitizeTiles(const AdcOptions& adc, AdcStrip<T> in, const std::vector<int64_t>& ends, T* out) {
  // A given range leaves nothing to exceed.
  const bool fused = adc.method == LinearQuantizer::kName && (adc.overflow_rate == 0 || adc.range > 0);
  const LinearAdc linear{adc.bits, adc.range};
  // Where both strides are 1, one of the two sizes is.
  const bool by_rows = in.col_stride == 1 && !(in.inner_stride == 1 && in.cols < in.width);
  const auto& kernels = ActiveQuantizeKernels<T>();
  int64_t begin = 0;
  for (const int64_t end : ends) {
    AdcStrip<T> tile = in;
    tile.data = in.data + begin * in.col_stride;
    tile.cols = end - begin;
    T* tile_out = out + begin * in.col_stride;
    const bool finite = !fused    ? DigitizeOneByOne(adc, tile, tile_out)
                        : by_rows ? kernels.digitize_rows(linear, tile, tile_out)
                                  : kernels.digitize_columns(linear, tile, tile_out);
    if (!finite) return false;
    begin = end;
  }
  return true;
}

// The same sums with strides that say what lies side by side: the stride of a single column or position is 1, and the
// single position of plain matrices gives way to the samples, so that these are taken together.
template <class T>
PartialSums<T> Normalised(PartialSums<T> in) {
  if (in.cols == 1) in.col_stride = 1;
  if (in.inner == 1) in.inner_stride = 1;
  if (in.inner == 1 && (in.col_stride == 1 || in.outer_stride == 1)) {
    std::swap(in.inner, in.outer);
    std::swap(in.inner_stride, in.outer_stride);
  }
  return in;
}

}  // namespace

void CheckAdc(const char* op, const AdcOptions& adc, double largest) {
  CheckQuantMethod(op, adc.method);
  CheckQuantBits(op, "bits", adc.bits);
  CheckOverflowRate(op, adc.overflow_rate);
  if (!(adc.range >= 0 && adc.range <= largest)) {
    Invalid(op, "range (", adc.range, " A) must be finite and not negative");
  }
}

template <class T>
void DigitizeAndSum(const AdcOptions& adc, const PartialSums<T>& in, const std::vector<int64_t>& ends, T* out) {
  CheckPartialSums("adc", adc, in, ends);
  if (in.outer == 0 || in.cols == 0 || in.inner == 0) return;
  const PartialSums<T> sums = Normalised(in);
  const int64_t strips = (sums.inner + kAdcStrip - 1) / kAdcStrip;
  const int64_t strip_size = sums.parts * sums.cols * std::min(kAdcStrip, sums.inner);
  std::atomic<bool> finite{true};
  ParallelFor(sums.outer * strips, std::max<int64_t>(1, kGrain / strip_size), [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      const int64_t s = k % strips * kAdcStrip;
      const int64_t offset = k / strips * sums.outer_stride + s * sums.inner_stride;
      const AdcStrip<T> strip{
          sums.data + offset, sums.parts,      sums.cols,        std::min(kAdcStrip, sums.inner - s),
          sums.part_stride,   sums.col_stride, sums.inner_stride};
      if (!DigitizeTiles(adc, strip, ends, out + offset)) finite = false;
    }
  });
  if (!finite) ThrowNotFinite(in);
}

template void DigitizeAndSum(const AdcOptions&, const PartialSums<float>&, const std::vector<int64_t>&, float*);
template void DigitizeAndSum(const AdcOptions&, const PartialSums<double>&, const std::vector<int64_t>&, double*);

}  // namespace memtorch
