#include "engine/random.h"

#include "engine/parallel.h"
#include "engine/random_kernels.h"
#include "engine/simd.h"

namespace memtorch {
namespace {

constexpr int64_t kBlocksPerChunk = 8192;

using Pair = void (*)(uint64_t seed, uint64_t stream, uint64_t block, double* even, double* odd);
using Run = void (*)(uint64_t seed, uint64_t stream, uint64_t first_block, double* out, int64_t blocks);

// Whole blocks by `run`; the half blocks that an odd start or end leaves by `pair`.
void Fill(Pair pair, Run run, uint64_t seed, uint64_t stream, int64_t first, double* out, int64_t n) {
  if (n <= 0) return;
  double unused;
  if (first % 2 != 0) {
    pair(seed, stream, static_cast<uint64_t>(first / 2), &unused, out);
    ++first;
    ++out;
    --n;
  }
  const uint64_t first_block = static_cast<uint64_t>(first / 2);
  const int64_t blocks = n / 2;
  ParallelFor(blocks, kBlocksPerChunk, [&](int64_t begin, int64_t end) {
    run(seed, stream, first_block + static_cast<uint64_t>(begin), out + 2 * begin, end - begin);
  });
  if (n % 2 != 0) pair(seed, stream, first_block + static_cast<uint64_t>(blocks), &out[n - 1], &unused);
}

const RandomKernels& Kernels() { return Select(baseline::kRandom, avx2::kRandom, avx512::kRandom); }

}  // namespace

void FillUniform(uint64_t seed, uint64_t stream, int64_t first, double* out, int64_t n) {
  const Pair pair = [](uint64_t a, uint64_t b, uint64_t c, double* even, double* odd) {
    UniformPair(a, b, c, even, odd);
  };
  Fill(pair, Kernels().uniform, seed, stream, first, out, n);
}

void FillNormal(uint64_t seed, uint64_t stream, int64_t first, double* out, int64_t n) {
  const Pair pair = [](uint64_t a, uint64_t b, uint64_t c, double* even, double* odd) {
    NormalPair(a, b, c, even, odd);
  };
  Fill(pair, Kernels().normal, seed, stream, first, out, n);
}

}  // namespace memtorch
