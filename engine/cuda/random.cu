#include "engine/cuda/launch.h"
#include "engine/cuda/random.h"
#include "engine/random.h"

namespace memtorch::cuda {
namespace {

struct Uniforms {
  static MT_HD void Pair(uint64_t seed, uint64_t stream, uint64_t block, double* even, double* odd) {
    UniformPair(seed, stream, block, even, odd);
  }
};

struct Normals {
  static MT_HD void Pair(uint64_t seed, uint64_t stream, uint64_t block, double* even, double* odd) {
    NormalPair(seed, stream, block, even, odd);
  }
};

struct AsDrawn {
  MT_HD double Of(double draw) const { return draw; }
};

// The two draws of one block of the generator, those of them that are wanted.
template <class Draws, class Shape>
struct FillPair {
  uint64_t seed, stream;
  int64_t first;
  double* out;
  int64_t n;
  Shape shape;

  MT_HD void operator()(int64_t pair) const {
    const int64_t block = first / 2 + pair;
    double draws[2];
    Draws::Pair(seed, stream, static_cast<uint64_t>(block), &draws[0], &draws[1]);
    for (int k = 0; k < 2; ++k) {
      const int64_t i = 2 * block + k - first;
      if (i >= 0 && i < n) out[i] = shape.Of(draws[k]);
    }
  }
};

template <class Draws, class Shape>
void Fill(const char* op, const Shape& shape, uint64_t seed, uint64_t stream_id, int64_t first, double* out, int64_t n,
          void* stream) {
  const int64_t pairs = n <= 0 ? 0 : (first + n - 1) / 2 - first / 2 + 1;
  ForEach(op, pairs, FillPair<Draws, Shape>{seed, stream_id, first, out, n, shape}, stream);
}

}  // namespace

void FillUniform(uint64_t seed, uint64_t stream_id, int64_t first, double* out, int64_t n, void* stream) {
  Fill<Uniforms>("fill_uniform", AsDrawn(), seed, stream_id, first, out, n, stream);
}

void FillNormal(uint64_t seed, uint64_t stream_id, int64_t first, double* out, int64_t n, void* stream) {
  Fill<Normals>("fill_normal", AsDrawn(), seed, stream_id, first, out, n, stream);
}

void FillDistributed(const Distribution& distribution, uint64_t seed, uint64_t stream_id, int64_t first, double* out,
                     int64_t n, void* stream) {
  const char* op = "fill_distributed";
  if (distribution.kind == Distribution::Kind::kUniform) {
    Fill<Uniforms>(op, distribution, seed, stream_id, first, out, n, stream);
  } else {
    Fill<Normals>(op, distribution, seed, stream_id, first, out, n, stream);
  }
}

}  // namespace memtorch::cuda
