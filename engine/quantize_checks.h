// Checks of quantization options, shared by quantize.cc, adc.cc and read.cc. `op` opens the message.
#ifndef MEMTORCH_ENGINE_QUANTIZE_CHECKS_H_
#define MEMTORCH_ENGINE_QUANTIZE_CHECKS_H_

#include <cstdint>
#include <string>

#include "engine/quantize.h"

namespace memtorch {

// The number of the method in the list of quantizers.
int CheckQuantMethod(const char* op, const std::string& method);
void CheckQuantBits(const char* op, const char* name, int64_t bits);
void CheckOverflowRate(const char* op, double rate);
// `largest`: the largest finite value of the partial sums' type.
void CheckAdc(const char* op, const AdcOptions& adc, double largest);

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_QUANTIZE_CHECKS_H_
