#include "engine/simd.h"

#include <cstdlib>
#include <cstring>

namespace memtorch {
namespace {

Isa Widest() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  // The sets that x86-64-v4 and x86-64-v3 name; the operating system's support is part of these answers.
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd")) {
    return Isa::kAvx512;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2")) {
    return Isa::kAvx2;
  }
#endif
  return Isa::kBaseline;
}

Isa Chosen() {
  const Isa widest = Widest();
  const char* wish = std::getenv("MEMTORCH_ISA");
  if (wish == nullptr) return widest;
  const Isa limit = std::strcmp(wish, "baseline") == 0 ? Isa::kBaseline
                    : std::strcmp(wish, "avx2") == 0   ? Isa::kAvx2
                                                       : Isa::kAvx512;
  return limit < widest ? limit : widest;
}

}  // namespace

Isa ActiveIsa() {
  static const Isa isa = Chosen();
  return isa;
}

}  // namespace memtorch
