// One binary for every x86-64: a kernel file is compiled once per instruction set and picked at run time.
//
// A kernel file (built by mt_simd_library) is compiled three times, with MT_ISA = baseline, avx2 and avx512, and fills
// a table of function pointers in namespace memtorch::MT_ISA. Its header declares that table in all three namespaces:
//
//   struct RandomKernels { void (*fill_normal)(uint64_t seed, ...); };
//   namespace baseline { extern const RandomKernels kRandom; }   // and avx2, avx512
//
// and callers write  Select(baseline::kRandom, avx2::kRandom, avx512::kRandom).fill_normal(seed, ...).
//
// Everything such a file calls must be MT_HD (always inlined) or in its own MT_ISA namespace: another inline function
// compiled for AVX-512 could be kept by the linker for all. A test looks for such symbols in the objects. Arithmetic is
// not contracted (-ffp-contract=off), so that every instruction set and the GPU give the same bits.
#ifndef MEMTORCH_ENGINE_SIMD_H_
#define MEMTORCH_ENGINE_SIMD_H_

#include <cstdint>

namespace memtorch {

enum class Isa { kBaseline, kAvx2, kAvx512 };

// The widest instruction set of this machine, or the one named by MEMTORCH_ISA (baseline, avx2, avx512) if that is
// narrower. Read once.
Isa ActiveIsa();

// The table of the active instruction set.
template <class Table>
const Table& Select(const Table& baseline, const Table& avx2, const Table& avx512) {
  switch (ActiveIsa()) {
    case Isa::kAvx512:
      return avx512;
    case Isa::kAvx2:
      return avx2;
    default:
      return baseline;
  }
}

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_SIMD_H_
