// Quantization of one array with one range: passes over the array by many blocks, each followed by one block that
// combines what they found. What the passes find out stays on the GPU, in `Found`.

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "engine/cuda/launch.h"
#include "engine/cuda/quantize.h"
#include "engine/linear_adc.h"
#include "engine/quantize_checks.h"
#include "engine/quantize_range.h"
#include "engine/quantizers/quantizers.h"

namespace memtorch::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kDigits = 256;  // values of the 8 bits of a magnitude that a pass finds
constexpr int64_t kMostBlocks = 512;

// What is known of the array so far.
struct Found {
  Summary elements, bounds;
  uint64_t exceeded;     // the bits of the magnitude that the fraction overflow_rate exceeds, as far as they are known
  int64_t wanted;        // how many magnitudes that begin with these bits are at least the one that is looked for
  double quantizer[16];  // the memory of the fitted quantizer
};

int64_t BlocksFor(int64_t n) { return std::min(kMostBlocks, (n + kThreads - 1) / kThreads); }

// The scratch memory: one Found, then for each block its summaries, then its histogram.
struct Workspace {
  Found* found;
  Summary* elements;
  Summary* bounds;
  uint32_t* digits;  // [blocks, kDigits]

  Workspace(void* memory, int64_t blocks)
      : found(static_cast<Found*>(memory)),
        elements(reinterpret_cast<Summary*>(found + 1)),
        bounds(elements + blocks),
        digits(reinterpret_cast<uint32_t*>(bounds + blocks)) {}

  static int64_t Bytes(int64_t blocks) {
    return static_cast<int64_t>(sizeof(Found)) + blocks * (2 * static_cast<int64_t>(sizeof(Summary)) + kDigits * 4);
  }
};

// The elements, clamped at bounds that are on the GPU (stride 1) or travel with the launch.
template <class T>
struct Elements {
  const T* x;
  int64_t n;
  const double* low_column;
  const double* high_column;
  double low_number, high_number;
  bool has_low, has_high;

  Elements(const Bounds& bounds, const T* elements, int64_t size)
      : x(elements),
        n(size),
        low_column(bounds.stride == 0 ? nullptr : bounds.min),
        high_column(bounds.stride == 0 ? nullptr : bounds.max),
        low_number(bounds.stride == 0 && bounds.min != nullptr ? *bounds.min : 0),
        high_number(bounds.stride == 0 && bounds.max != nullptr ? *bounds.max : 0),
        has_low(bounds.min != nullptr),
        has_high(bounds.max != nullptr) {}

  MT_HD double Low(int64_t i) const { return low_column != nullptr ? low_column[i] : low_number; }
  MT_HD double High(int64_t i) const { return high_column != nullptr ? high_column[i] : high_number; }
  MT_HD bool IsFinite(int64_t i) const { return MagnitudeBits(x[i]) < Bits<T>::kInfinity; }
  MT_HD T Clamped(int64_t i) const {
    double value = static_cast<double>(x[i]);
    if (has_low) value = Max(value, Low(i));
    if (has_high) value = Min(value, High(i));
    return static_cast<T>(value);
  }
};

// Combines `values` of the threads into values[0].
template <class Value, class Combine>
MT_HD void CombineThreads(const Block& block, Value* values, const Combine& combine) {
  for (int half = kThreads / 2; half > 0; half /= 2) {
    block.Each(half, [&](int thread) { values[thread] = combine(values[thread], values[thread + half]); });
  }
}

struct MergeSummaries {
  MT_HD Summary operator()(const Summary& a, const Summary& b) const { return Merge(a, b); }
};

template <class T>
struct SummarizeBlock {
  Elements<T> in;
  bool clamped;  // whether bounds clamp the elements before they count
  int64_t blocks;
  Workspace work;

  MT_HD void operator()(const Block& block) const {
    Summary* elements = block.Shared<Summary>();
    Summary* bounds = elements + kThreads;
    block.Each(kThreads, [&](int thread) {
      elements[thread] = bounds[thread] = EmptySummary();
      for (int64_t i = block.index() * kThreads + thread; i < in.n; i += blocks * kThreads) {
        const double x = static_cast<double>(clamped ? in.Clamped(i) : in.x[i]);
        if (in.IsFinite(i)) elements[thread] = Including(elements[thread], x);
        if (in.has_low) bounds[thread] = Including(bounds[thread], in.Low(i));
        if (in.has_high) bounds[thread] = Including(bounds[thread], in.High(i));
      }
    });
    CombineThreads(block, elements, MergeSummaries());
    CombineThreads(block, bounds, MergeSummaries());
    block.Each(1, [&](int) {
      work.elements[block.index()] = elements[0];
      work.bounds[block.index()] = bounds[0];
    });
  }
};

struct CombineSummaries {
  int64_t blocks;
  Workspace work;

  MT_HD void operator()(const Block& block) const {
    Summary* elements = block.Shared<Summary>();
    Summary* bounds = elements + kThreads;
    block.Each(kThreads, [&](int thread) {
      elements[thread] = bounds[thread] = EmptySummary();
      for (int64_t k = thread; k < blocks; k += kThreads) {
        elements[thread] = Merge(elements[thread], work.elements[k]);
        bounds[thread] = Merge(bounds[thread], work.bounds[k]);
      }
    });
    CombineThreads(block, elements, MergeSummaries());
    CombineThreads(block, bounds, MergeSummaries());
    block.Each(1, [&](int) { *work.found = {elements[0], bounds[0], 0, 0, {}}; });
  }
};

// Counts, for each value of the 8 bits below `shift + 8`, the magnitudes whose higher bits are those found.
template <class T>
struct CountDigits {
  Elements<T> in;
  Scale scale;
  int shift;
  int64_t blocks;
  Workspace work;

  MT_HD void operator()(const Block& block) const {
    uint32_t* count = block.Shared<uint32_t>();
    block.Each(kDigits, [&](int digit) { count[digit] = 0; });
    const uint64_t known = work.found->exceeded;
    block.Each(kThreads, [&](int thread) {
      for (int64_t i = block.index() * kThreads + thread; i < in.n; i += blocks * kThreads) {
        const double x = static_cast<double>(in.Clamped(i));
        if (!in.IsFinite(i) || (scale == Scale::kLog && x == 0)) continue;
        const uint64_t magnitude = AsBits(ScaledMagnitude(scale, x));
        const bool begins_alike = shift == 56 || (magnitude ^ known) >> (shift + 8) == 0;
        if (begins_alike) AtomicIncrement(&count[magnitude >> shift & (kDigits - 1)]);
      }
    });
    block.Each(kDigits, [&](int digit) { work.digits[block.index() * kDigits + digit] = count[digit]; });
  }
};

// The next 8 bits of the magnitude that is looked for.
struct ChooseDigit {
  double overflow_rate;
  int shift;
  int64_t blocks;
  Workspace work;

  MT_HD void operator()(const Block& block) const {
    int64_t* count = block.Shared<int64_t>();
    block.Each(kDigits, [&](int digit) {
      count[digit] = 0;
      for (int64_t k = 0; k < blocks; ++k) count[digit] += work.digits[k * kDigits + digit];
    });
    block.Each(1, [&](int) {
      Found* found = work.found;
      if (shift == 56) {
        int64_t all = 0;
        for (int digit = 0; digit < kDigits; ++digit) all += count[digit];
        found->wanted = all == 0 ? 0 : ExceededRank(overflow_rate, all) + 1;
      }
      int digit = kDigits - 1;
      for (; digit > 0 && count[digit] < found->wanted; --digit) found->wanted -= count[digit];
      // Of no elements none is wanted; the magnitude is 0.
      if (found->wanted > 0) found->exceeded |= static_cast<uint64_t>(digit) << shift;
    });
  }
};

// Fits quantizer Q, once for all elements.
template <class T, class Q>
struct FitQuantizer {
  int bits;
  bool ranked;
  Found* found;

  MT_HD void operator()(int64_t) const {
    static_assert(sizeof(Q) <= sizeof(Found::quantizer), "the quantizer has room");
    const double exceeded = AsDouble(found->exceeded);
    *reinterpret_cast<Q*>(found->quantizer) =
        Q::Fit(RangeOf<Q>(found->elements, found->bounds, ranked ? &exceeded : nullptr), bits, Bits<T>::kLargest);
  }
};

template <class T, class Q>
struct ApplyQuantizer {
  Elements<T> in;
  const Found* found;
  T* out;

  MT_HD void operator()(int64_t i) const {
    const T x = in.x[i];
    out[i] = in.IsFinite(i) ? (*reinterpret_cast<const Q*>(found->quantizer))(in.Clamped(i)) : x - x;
  }
};

// The ends of uniform levels. A bound that is not given is that of the elements, clamped at the other one.
template <class T>
MT_HD FitRange LevelEnds(const Elements<T>& in, const Summary& s, int64_t i) {
  return {in.has_low ? in.Low(i) : (in.has_high ? Min(s.low, in.High(i)) : s.low),
          in.has_high ? in.High(i) : (in.has_low ? Max(s.high, in.Low(i)) : s.high)};
}

// With bounds for each element, each has levels of its own; otherwise those of element 0 serve all.
template <class T>
struct FitLevels {
  Elements<T> in;
  double levels;
  Found* found;

  MT_HD void operator()(int64_t) const {
    const FitRange ends = LevelEnds(in, found->elements, 0);
    *reinterpret_cast<LevelQuantizer*>(found->quantizer) = LevelQuantizer::FitLevels(ends.low, ends.high, levels);
  }
};

template <class T>
struct ApplyLevels {
  Elements<T> in;
  double levels;
  bool own_levels;
  const Found* found;
  T* out;

  MT_HD void operator()(int64_t i) const {
    const T x = in.x[i];
    if (!in.IsFinite(i)) {
      out[i] = x - x;
    } else if (own_levels) {
      const FitRange ends = LevelEnds(in, found->elements, i);
      out[i] = LevelQuantizer::FitLevels(ends.low, ends.high, levels)(x);
    } else {
      out[i] = (*reinterpret_cast<const LevelQuantizer*>(found->quantizer))(x);
    }
  }
};

}  // namespace

template <class T>
int64_t QuantizeWorkspaceBytes(int64_t n) {
  return Workspace::Bytes(BlocksFor(n));
}

template <class T>
void Quantize(const QuantizeOptions& options, const Bounds& bounds, const T* x, T* out, int64_t n, void* workspace,
              void* stream) {
  const char* op = "quantize";
  const int method = CheckQuantizeOptions(options);
  if (n < 0) Invalid(op, "n (", n, " elements) must not be negative");
  if (bounds.stride == 0) CheckBounds(bounds, n, static_cast<double>(std::numeric_limits<T>::max()));
  if (n == 0) return;
  const int64_t blocks = BlocksFor(n), shared = 2 * kThreads * static_cast<int64_t>(sizeof(Summary));
  const Workspace work(workspace, blocks);
  const Elements<T> in(bounds, x, n);
  const bool by_levels = options.method.empty();
  const int bits = by_levels ? 0 : static_cast<int>(options.quant);
  const auto summarize = [&](bool clamped) {
    ForBlocks<kThreads>(op, blocks, shared, SummarizeBlock<T>{in, clamped, blocks, work}, stream);
    ForBlocks<kThreads>(op, 1, shared, CombineSummaries{blocks, work}, stream);
  };
  VisitQuantizer(Quantizers(), method, [&](auto type) {
    using Q = decltype(type);
    if constexpr (std::is_base_of_v<LevelQuantizer, Q>) {
      const double levels = by_levels ? static_cast<double>(options.quant) : std::ldexp(1.0, bits);
      summarize(false);
      ForEach(op, 1, FitLevels<T>{in, levels, work.found}, stream);
      ForEach(op, n, ApplyLevels<T>{in, levels, bounds.stride != 0, work.found, out}, stream);
    } else {
      const bool ranked = Q::kExtent == Extent::kMagnitude && options.overflow_rate > 0;
      summarize(true);
      for (int shift = 56; ranked && shift >= 0; shift -= 8) {
        ForBlocks<kThreads>(op, blocks, kDigits * 4, CountDigits<T>{in, Q::kScale, shift, blocks, work}, stream);
        ForBlocks<kThreads>(op, 1, kDigits * 8, ChooseDigit{options.overflow_rate, shift, blocks, work}, stream);
      }
      ForEach(op, 1, FitQuantizer<T, Q>{bits, ranked, work.found}, stream);
      ForEach(op, n, ApplyQuantizer<T, Q>{in, work.found, out}, stream);
    }
  });
}

template int64_t QuantizeWorkspaceBytes<float>(int64_t);
template int64_t QuantizeWorkspaceBytes<double>(int64_t);
template void Quantize(const QuantizeOptions&, const Bounds&, const float*, float*, int64_t, void*, void*);
template void Quantize(const QuantizeOptions&, const Bounds&, const double*, double*, int64_t, void*, void*);

}  // namespace memtorch::cuda
