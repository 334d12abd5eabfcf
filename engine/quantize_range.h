// How the range of a quantizer follows from its elements, the same source on host and device.
#ifndef MEMTORCH_ENGINE_QUANTIZE_RANGE_H_
#define MEMTORCH_ENGINE_QUANTIZE_RANGE_H_

#include "engine/quantizers/quantizer.h"

namespace memtorch {

// What a quantizer's range is found from. Of no elements: low > high.
struct Summary {
  double low, high;  // smallest and largest element
  double smallest;   // smallest magnitude above 0, or infinity
  bool finite;       // no element is infinite or NaN; otherwise the numbers mean nothing
};

MT_HD Summary EmptySummary() {
  const double infinity = AsDouble(0x7FF0000000000000u);
  return {infinity, -infinity, infinity, true};
}

MT_HD Summary Merge(const Summary& a, const Summary& b) {
  return {Min(a.low, b.low), Max(a.high, b.high), Min(a.smallest, b.smallest), a.finite && b.finite};
}

// Of the summarised elements and a finite x.
MT_HD Summary Including(const Summary& s, double x) {
  const double magnitude = Abs(x);
  return {Min(s.low, x), Max(s.high, x), magnitude > 0 ? Min(s.smallest, magnitude) : s.smallest, s.finite};
}

// The interval of the elements, or of ln|x| of those that are not 0; [0, 0] of none.
MT_HD FitRange Interval(Scale scale, const Summary& s) {
  if (scale == Scale::kLinear) return s.low <= s.high ? FitRange{s.low, s.high} : FitRange{};
  const double largest = Max(Abs(s.low), Abs(s.high));
  const bool any = s.smallest <= largest && s.smallest - s.smallest == 0;
  return any ? FitRange{Log(s.smallest), Log(largest)} : FitRange{};
}

MT_HD double Magnitude(const FitRange& range) { return Max(Abs(range.low), Abs(range.high)); }

// |x|, or |ln|x||: what `overflow_rate` is a rate of. REQUIRES: x is not 0 where scale is logarithmic.
MT_HD double ScaledMagnitude(Scale scale, double x) { return scale == Scale::kLinear ? Abs(x) : Abs(Log(Abs(x))); }

// Of `count` magnitudes in descending order, the number of the one that a fraction `rate` exceeds.
MT_HD int64_t ExceededRank(double rate, int64_t count) {
  const double last = static_cast<double>(count) - 1;
  return static_cast<int64_t>(Min(RoundHalfUp(rate * static_cast<double>(count)), last));
}

// The range of quantizer Q for elements and bounds; `exceeded` is the magnitude that the fraction overflow_rate of the
// elements exceeds, for overflow_rate > 0, or null.
template <class Q>
MT_HD FitRange RangeOf(const Summary& elements, const Summary& bounds, const double* exceeded) {
  const FitRange range = Interval(Q::kScale, Merge(elements, bounds));
  if (Q::kExtent == Extent::kInterval) return range;
  const double magnitude =
      exceeded == nullptr ? Magnitude(range) : Max(*exceeded, Magnitude(Interval(Q::kScale, bounds)));
  return {-magnitude, magnitude};
}

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_QUANTIZE_RANGE_H_
