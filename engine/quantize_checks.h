// Checks of quantization options, shared by quantize.cc, adc.cc and read.cc. `op` opens the message.
#ifndef MEMTORCH_ENGINE_QUANTIZE_CHECKS_H_
#define MEMTORCH_ENGINE_QUANTIZE_CHECKS_H_

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "engine/quantize.h"

namespace memtorch {

// The number of the method in the list of quantizers.
int CheckQuantMethod(const char* op, const std::string& method);
void CheckQuantBits(const char* op, const char* name, int64_t bits);
void CheckOverflowRate(const char* op, double rate);
// `largest`: the largest finite value of the partial sums' type.
void CheckAdc(const char* op, const AdcOptions& adc, double largest);
// That bounds of n elements are finite as elements and in order; `largest` as above.
void CheckBounds(const Bounds& bounds, int64_t n, double largest);
// The options of a quantization, and the number of its method; an empty method's number is that of minmax.
int CheckQuantizeOptions(const QuantizeOptions& options);

template <class T>
void CheckPartialSums(const char* op, const AdcOptions& adc, const PartialSums<T>& in,
                      const std::vector<int64_t>& ends) {
  CheckAdc(op, adc, static_cast<double>(std::numeric_limits<T>::max()));
  if (in.parts < 1 || in.outer < 0 || in.cols < 0 || in.inner < 0) {
    Invalid(op, "partial ([", in.parts, ", ", in.outer, ", ", in.cols, ", ", in.inner,
            "]) must have at least one part and no negative size");
  }
  int64_t last = 0;
  for (const int64_t end : ends) {
    if (end <= last) Invalid(op, "ends (", end, " after ", last, ") must ascend from above 0");
    last = end;
  }
  if (last != in.cols) Invalid(op, "ends (last ", last, ") must end with the number of columns, ", in.cols);
  const bool contiguous = in.col_stride == 1 || in.inner_stride == 1 || in.cols <= 1 || in.inner <= 1;
  if (!contiguous) {
    Invalid(op, "col_stride (", in.col_stride, ") or inner_stride (", in.inner_stride, ") must be 1");
  }
}

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_QUANTIZE_CHECKS_H_
