// Samples for tests, reproducible, and the instruction sets that this machine can run.
#ifndef MEMTORCH_TESTS_CPP_TESTING_SAMPLES_H_
#define MEMTORCH_TESTS_CPP_TESTING_SAMPLES_H_

#include <cstdint>
#include <vector>

#include "engine/random.h"
#include "engine/simd.h"

namespace memtorch::testing {

// n standard normals times `scale`.
template <class T>
std::vector<T> Normals(int64_t n, uint64_t stream, double scale = 1) {
  std::vector<T> samples;
  samples.reserve(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) {
    samples.push_back(static_cast<T>(scale * Normal(20240501, stream, static_cast<uint64_t>(i))));
  }
  return samples;
}

// The tables of one kernel file that this machine can run, the baseline first.
template <class Table>
std::vector<const Table*> Runnable(const Table& baseline, const Table& avx2, const Table& avx512) {
  std::vector<const Table*> tables{&baseline};
  if (ActiveIsa() >= Isa::kAvx2) tables.push_back(&avx2);
  if (ActiveIsa() >= Isa::kAvx512) tables.push_back(&avx512);
  return tables;
}

}  // namespace memtorch::testing

#endif  // MEMTORCH_TESTS_CPP_TESTING_SAMPLES_H_
