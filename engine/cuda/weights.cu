#include "engine/cuda/launch.h"
#include "engine/cuda/weights.h"

namespace memtorch::cuda {
namespace {

using memtorch::internal::kSumChunk;
using memtorch::internal::kSumLanes;
using memtorch::internal::SumChunks;

template <class T>
struct MapWeight {
  WeightMap map;
  const T* w;
  T* positive;
  T* negative;

  MT_HD void operator()(int64_t i) const {
    const double relative = map.Relative(w[i]);
    positive[i] = static_cast<T>(map.Of(relative));
    if (negative != nullptr) negative[i] = static_cast<T>(map.Of(-relative));
  }
};

// Two sums of a block, from those of its lanes in shared memory, in pairs.
MT_HD void SumLanes(const Block& block, double* cross, double* square) {
  for (int half = kSumLanes / 2; half > 0; half /= 2) {
    block.Each(half, [=](int lane) {
      cross[lane] += cross[lane + half];
      square[lane] += square[lane + half];
    });
  }
}

// The sums of a chunk, to cross[chunk] and square[chunk].
template <class T>
struct SumChunk {
  WeightDifferences<T> of;
  double* cross;
  double* square;

  MT_HD void operator()(const Block& block) const {
    double* cross_lanes = block.Shared<double>();
    double* square_lanes = cross_lanes + kSumLanes;
    const int64_t begin = block.index() * kSumChunk, left = of.n - begin;
    const int64_t end = begin + (left < kSumChunk ? left : kSumChunk);
    block.EachThread([&](int lane) {
      double of_cross = 0, of_square = 0;
      for (int64_t i = begin + lane; i < end; i += kSumLanes) {
        const double d = of.Of(i);
        of_cross += static_cast<double>(of.w[i]) * d;
        of_square += d * d;
      }
      cross_lanes[lane] = of_cross;
      square_lanes[lane] = of_square;
    });
    SumLanes(block, cross_lanes, square_lanes);
    block.Each(1, [&](int) {
      cross[block.index()] = cross_lanes[0];
      square[block.index()] = square_lanes[0];
    });
  }
};

// The sums of all chunks.
struct SumAll {
  const double* cross;
  const double* square;
  int64_t chunks;
  double* sums;

  MT_HD void operator()(const Block& block) const {
    double* cross_lanes = block.Shared<double>();
    double* square_lanes = cross_lanes + kSumLanes;
    block.EachThread([&](int lane) {
      double of_cross = 0, of_square = 0;
      for (int64_t i = lane; i < chunks; i += kSumLanes) {
        of_cross += cross[i];
        of_square += square[i];
      }
      cross_lanes[lane] = of_cross;
      square_lanes[lane] = of_square;
    });
    SumLanes(block, cross_lanes, square_lanes);
    block.Each(1, [&](int) {
      sums[0] = cross_lanes[0];
      sums[1] = square_lanes[0];
    });
  }
};

constexpr int64_t kShared = 2 * kSumLanes * 8;

}  // namespace

template <class T>
void MapWeights(const WeightMap& map, const T* w, int64_t n, T* positive, T* negative, void* stream) {
  ForEach("map_weights", n, MapWeight<T>{map, w, positive, negative}, stream);
}

int64_t SumWeightsWorkspaceBytes(int64_t n) { return 2 * SumChunks(n) * 8; }

template <class T>
void SumWeights(const WeightDifferences<T>& of, double* sums, void* workspace, void* stream) {
  const char* op = "sum_weights";
  const int64_t chunks = SumChunks(of.n);
  double* cross = static_cast<double*>(workspace);
  double* square = cross + chunks;
  ForBlocks<kSumLanes, 4>(op, chunks, kShared, SumChunk<T>{of, cross, square}, stream);
  ForBlocks<kSumLanes>(op, 1, kShared, SumAll{cross, square, chunks, sums}, stream);
}

#define MT_FOR_TYPE(T)                                                          \
  template void MapWeights(const WeightMap&, const T*, int64_t, T*, T*, void*); \
  template void SumWeights(const WeightDifferences<T>&, double*, void*, void*);
MT_FOR_TYPE(float)
MT_FOR_TYPE(double)
#undef MT_FOR_TYPE

}  // namespace memtorch::cuda
