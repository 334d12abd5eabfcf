// The converters of tiles. A linear ADC reads every partial sum once; any other as often as its range asks for.

#include <algorithm>
#include <limits>
#include <type_traits>
#include <utility>

#include "engine/cuda/converters.h"
#include "engine/cuda/launch.h"
#include "engine/cuda/quantize.h"
#include "engine/linear_adc.h"
#include "engine/quantize_checks.h"
#include "engine/quantize_range.h"
#include "engine/quantizers/quantizers.h"

namespace memtorch::cuda {
namespace {

template <class T>
MT_HD bool IsFiniteElement(T x) {
  return MagnitudeBits(x) < Bits<T>::kInfinity;
}

struct Larger {
  template <class Value>
  MT_HD Value operator()(Value a, Value b) const {
    return a > b ? a : b;
  }
};

struct MergeSummaries {
  MT_HD Summary operator()(const Summary& a, const Summary& b) const { return Merge(a, b); }
};

struct Plus {
  MT_HD int64_t operator()(int64_t a, int64_t b) const { return a + b; }
};

// The columns that a thread keeps in registers from one part to the next; further ones wait in `out`.
template <class T, int kKept>
struct KeptColumns {
  T sum[kKept];
  T x[kKept];
};

// Linear converters whose range nothing exceeds.
template <class T, int kWidth>
struct LinearBlock {
  // A 128-column tile in full; 64 columns of it side by side.
  static constexpr int kKept = kWidth == 32 ? 16 : 4;
  static constexpr int64_t kSharedBytes = 2 * kAdcThreads * static_cast<int64_t>(sizeof(Signed<T>));

  Converters<T, kWidth> in;
  Converter<T> converter;

  MT_HD void operator()(const Block& block) const {
    using Place = Seat<kWidth>;
    Signed<T>* magnitude = block.template Shared<Signed<T>>();
    PerThread<KeptColumns<T, kKept>, kAdcThreads> kept;
    const int64_t cols = in.Cols(block.index());
    block.Each(kAdcThreads, [&](int thread) {
      for (int k = 0; k < kKept; ++k) kept[thread].sum[k] = 0;
    });
    for (int64_t t = 0; t < in.sums.parts; ++t) {
      const T* part = in.sums.data + t * in.sums.part_stride;
      block.Each(kAdcThreads, [&](int thread) {
        const Place seat(thread);
        Signed<T> largest = 0;
        if (in.Exists(block.index(), thread)) {
          for (int k = 0; k < kKept; ++k) {
            const int64_t c = seat.share + k * Place::kThreads;
            if (c >= cols) break;
            const T x = part[in.Offset(block.index(), thread, c)];
            kept[thread].x[k] = x;
            largest = Larger()(largest, Counted(x));
          }
          for (int64_t c = seat.share + kKept * Place::kThreads; c < cols; c += Place::kThreads) {
            largest = Larger()(largest, Counted(part[in.Offset(block.index(), thread, c)]));
          }
        }
        magnitude[thread] = largest;
      });
      CombineShares<kWidth>(block, magnitude, magnitude + kAdcThreads, Larger());
      block.Each(kAdcThreads, [&](int thread) {
        if (!in.Exists(block.index(), thread)) return;
        const Place seat(thread);
        const Signed<T> largest = magnitude[thread];
        for (int k = 0; k < kKept && seat.share + k * Place::kThreads < cols; ++k) {
          kept[thread].sum[k] += Digitised(largest, kept[thread].x[k]);
        }
        for (int64_t c = seat.share + kKept * Place::kThreads; c < cols; c += Place::kThreads) {
          const int64_t offset = in.Offset(block.index(), thread, c);
          in.out[offset] = (t == 0 ? T(0) : in.out[offset]) + Digitised(largest, part[offset]);
        }
      });
    }
    block.Each(kAdcThreads, [&](int thread) {
      const Place seat(thread);
      if (!in.Exists(block.index(), thread)) return;
      for (int k = 0; k < kKept; ++k) {
        const int64_t c = seat.share + k * Place::kThreads;
        if (c < cols) in.out[in.Offset(block.index(), thread, c)] = kept[thread].sum[k];
      }
    });
  }

 private:
  MT_HD static Signed<T> Counted(T x) { return IsFiniteElement(x) ? MagnitudeBits(x) : 0; }

  MT_HD T Digitised(Signed<T> largest, T x) const {
    if (!IsFiniteElement(x)) return x - x;  // NaN
    const Signed<T> exponent = converter.step_exponent(largest);
    if (!IsFast<T>(exponent)) return converter.slow(largest, x);
    return MakeFast<T>(exponent)(x, converter.low, converter.high);
  }
};

// Converters of any method.
template <class T, class Q, int kWidth>
struct GeneralBlock {
  static constexpr int64_t kSharedBytes =
      2 * kAdcThreads * static_cast<int64_t>(sizeof(Summary) + sizeof(int64_t)) + kWidth * 2 * 8;

  Converters<T, kWidth> in;
  int bits;
  double overflow_rate, range;

  MT_HD void operator()(const Block& block) const {
    using Place = Seat<kWidth>;
    Summary* summary = block.template Shared<Summary>();
    const bool ranked = Q::kExtent == Extent::kMagnitude && overflow_rate > 0;
    for (int64_t t = 0; t < in.sums.parts; ++t) {
      const T* part = in.sums.data + t * in.sums.part_stride;
      block.Each(kAdcThreads, [&](int thread) {
        Summary all = EmptySummary();
        ForColumns(block.index(), thread, part, [&](int64_t, T x) {
          if (IsFiniteElement(x)) all = Including(all, Clamped(x));
        });
        summary[thread] = all;
      });
      CombineShares<kWidth>(block, summary, summary + kAdcThreads, MergeSummaries());
      const uint64_t* exceeded = ranked ? Exceeded(block, part) : nullptr;
      block.Each(kAdcThreads, [&](int thread) {
        const Summary of_bounds = range > 0 ? Including(Including(EmptySummary(), -range), range) : EmptySummary();
        const double magnitude = ranked ? AsDouble(exceeded[Place(thread).lane]) : 0;
        const Q quantizer =
            Q::Fit(RangeOf<Q>(summary[thread], of_bounds, ranked ? &magnitude : nullptr), bits, Bits<T>::kLargest);
        ForColumns(block.index(), thread, part, [&](int64_t offset, T x) {
          const T before = t == 0 ? T(0) : in.out[offset];
          in.out[offset] = before + (IsFiniteElement(x) ? quantizer(Clamped(x)) : x - x);
        });
      });
    }
  }

 private:
  // body(offset, x) for the columns of a thread.
  template <class Body>
  MT_HD void ForColumns(int64_t index, int thread, const T* part, const Body& body) const {
    if (!in.Exists(index, thread)) return;
    const int64_t cols = in.Cols(index);
    for (int64_t c = Seat<kWidth>(thread).share; c < cols; c += Seat<kWidth>::kThreads) {
      const int64_t offset = in.Offset(index, thread, c);
      body(offset, part[offset]);
    }
  }

  MT_HD T Clamped(T x) const { return range > 0 ? static_cast<T>(Clamp(static_cast<double>(x), -range, range)) : x; }

  // Of each converter the bits of the magnitude that the fraction overflow_rate of its elements exceeds: the largest
  // magnitude that enough elements reach, found bit by bit, because the bits of magnitudes are ordered as they are.
  MT_HD const uint64_t* Exceeded(const Block& block, const T* part) const {
    int64_t* count = reinterpret_cast<int64_t*>(block.template Shared<Summary>() + 2 * kAdcThreads);
    uint64_t* known = reinterpret_cast<uint64_t*>(count + 2 * kAdcThreads);
    int64_t* wanted = reinterpret_cast<int64_t*>(known + kWidth);
    const auto count_at_least = [&](const uint64_t* found, uint64_t bit) {
      block.Each(kAdcThreads, [&](int thread) {
        int64_t n = 0;
        const uint64_t least = found == nullptr ? 0 : found[Seat<kWidth>(thread).lane] | bit;
        ForColumns(block.index(), thread, part, [&](int64_t, T x) {
          if (!IsFiniteElement(x) || (Q::kScale == Scale::kLog && Clamped(x) == 0)) return;
          n += AsBits(ScaledMagnitude(Q::kScale, static_cast<double>(Clamped(x)))) >= least ? 1 : 0;
        });
        count[thread] = n;
      });
      CombineShares<kWidth>(block, count, count + kAdcThreads, Plus());
    };
    count_at_least(nullptr, 0);
    block.Each(kWidth, [&](int lane) {
      const int64_t n = count[Seat<kWidth>::ThreadOf(lane, 0)];
      known[lane] = 0;
      wanted[lane] = n == 0 ? 1 : ExceededRank(overflow_rate, n) + 1;  // of no elements none: the magnitude stays 0
    });
    for (int bit = 62; bit >= 0; --bit) {
      count_at_least(known, uint64_t{1} << bit);
      block.Each(kWidth, [&](int lane) {
        if (count[Seat<kWidth>::ThreadOf(lane, 0)] >= wanted[lane]) known[lane] |= uint64_t{1} << bit;
      });
    }
    return known;
  }
};

template <int kWidth, class T>
void DigitizeTiles(const AdcOptions& adc, const Converters<T, kWidth>& in, void* stream) {
  const char* op = "adc";
  // A given range leaves nothing to exceed.
  if (adc.method == LinearQuantizer::kName && (adc.overflow_rate == 0 || adc.range > 0)) {
    const LinearBlock<T, kWidth> body{in, Converter<T>({adc.bits, adc.range})};
    return ForBlocks<kAdcThreads>(op, in.blocks(), body.kSharedBytes, body, stream);
  }
  VisitQuantizer(Quantizers(), CheckQuantMethod(op, adc.method), [&](auto type) {
    const GeneralBlock<T, decltype(type), kWidth> body{in, adc.bits, adc.overflow_rate, adc.range};
    ForBlocks<kAdcThreads>(op, in.blocks(), body.kSharedBytes, body, stream);
  });
}

}  // namespace

template <class T>
void DigitizeAndSum(const AdcOptions& adc, const PartialSums<T>& in, const std::vector<int64_t>& ends, T* out,
                    void* stream) {
  CheckPartialSums("adc", adc, in, ends);
  if (in.outer == 0 || in.cols == 0 || in.inner == 0) return;
  PartialSums<T> sums = in;
  // The single position of plain matrices gives way to the samples, so that these are taken together.
  if (sums.inner == 1) {
    std::swap(sums.inner, sums.outer);
    std::swap(sums.inner_stride, sums.outer_stride);
  }
  // Tiles of equal width are taken together.
  const auto width = [&](size_t k) { return ends[k] - (k == 0 ? 0 : ends[k - 1]); };
  for (size_t k = 0; k < ends.size();) {
    size_t next = k + 1;
    while (next < ends.size() && (width(next) == width(k) || (next + 1 == ends.size() && width(next) < width(k))))
      ++next;
    const int64_t first = k == 0 ? 0 : ends[k - 1];
    if (sums.col_stride == 1 && sums.cols > 1) {
      DigitizeTiles(adc, Converters<T, 4>{sums, first, ends[next - 1], width(k), out}, stream);
    } else {
      DigitizeTiles(adc, Converters<T, 32>{sums, first, ends[next - 1], width(k), out}, stream);
    }
    k = next;
  }
}

template void DigitizeAndSum(const AdcOptions&, const PartialSums<float>&, const std::vector<int64_t>&, float*, void*);
template void DigitizeAndSum(const AdcOptions&, const PartialSums<double>&, const std::vector<int64_t>&, double*,
                             void*);

}  // namespace memtorch::cuda
