#include "engine/random.h"

#include "engine/parallel.h"
#include "engine/random_kernels.h"
#include "engine/simd.h"

namespace memtorch {
namespace {

constexpr int64_t kBlocksPerChunk = 8192;

using Pair = void (*)(uint64_t seed, uint64_t stream, uint64_t block, double* even, double* odd);
using Run = void (*)(uint64_t seed, uint64_t stream, uint64_t first_block, double* out, int64_t blocks);

// Whole blocks by `run`; the half blocks that an odd start or end leaves by `pair`. finish(draws, count) for each part.
template <class Finish>
void Fill(Pair pair, Run run, uint64_t seed, uint64_t stream, int64_t first, double* out, int64_t n,
          const Finish& finish) {
  if (n <= 0) return;
  double unused;
  if (first % 2 != 0) {
    pair(seed, stream, static_cast<uint64_t>(first / 2), &unused, out);
    finish(out, 1);
    ++first;
    ++out;
    --n;
  }
  const uint64_t first_block = static_cast<uint64_t>(first / 2);
  const int64_t blocks = n / 2;
  ParallelFor(blocks, kBlocksPerChunk, [&](int64_t begin, int64_t end) {
    run(seed, stream, first_block + static_cast<uint64_t>(begin), out + 2 * begin, end - begin);
    finish(out + 2 * begin, 2 * (end - begin));
  });
  if (n % 2 != 0) {
    pair(seed, stream, first_block + static_cast<uint64_t>(blocks), &out[n - 1], &unused);
    finish(&out[n - 1], 1);
  }
}

const RandomKernels& Kernels() { return Select(baseline::kRandom, avx2::kRandom, avx512::kRandom); }

template <class Finish>
void FillUniform(uint64_t seed, uint64_t stream, int64_t first, double* out, int64_t n, const Finish& finish) {
  const Pair pair = [](uint64_t a, uint64_t b, uint64_t c, double* even, double* odd) {
    UniformPair(a, b, c, even, odd);
  };
  Fill(pair, Kernels().uniform, seed, stream, first, out, n, finish);
}

template <class Finish>
void FillNormal(uint64_t seed, uint64_t stream, int64_t first, double* out, int64_t n, const Finish& finish) {
  const Pair pair = [](uint64_t a, uint64_t b, uint64_t c, double* even, double* odd) {
    NormalPair(a, b, c, even, odd);
  };
  Fill(pair, Kernels().normal, seed, stream, first, out, n, finish);
}

constexpr auto kAsDrawn = [](double*, int64_t) {};

}  // namespace

void FillUniform(uint64_t seed, uint64_t stream, int64_t first, double* out, int64_t n) {
  FillUniform(seed, stream, first, out, n, kAsDrawn);
}

void FillNormal(uint64_t seed, uint64_t stream, int64_t first, double* out, int64_t n) {
  FillNormal(seed, stream, first, out, n, kAsDrawn);
}

void FillDistributed(const Distribution& distribution, uint64_t seed, uint64_t stream, int64_t first, double* out,
                     int64_t n) {
  const auto finish = [&](double* draws, int64_t count) { Kernels().distribute(distribution, draws, count); };
  if (distribution.kind == Distribution::Kind::kUniform) {
    FillUniform(seed, stream, first, out, n, finish);
  } else {
    FillNormal(seed, stream, first, out, n, finish);
  }
}

}  // namespace memtorch
