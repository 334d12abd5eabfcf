#include "engine/weights.h"

#include <algorithm>
#include <vector>

#include "engine/parallel.h"

namespace memtorch {
namespace {

using internal::kSumChunk;
using internal::kSumLanes;

constexpr int64_t kGrain = 32768;  // weights a thread takes at a time

// The sum of the lanes, in pairs.
double SumOf(double* lanes) {
  for (int half = kSumLanes / 2; half > 0; half /= 2) {
    for (int lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
  }
  return lanes[0];
}

// Of the elements [begin, end), the k-th of them in lane k % kSumLanes; add(i, lane).
template <class Add>
void ForLanes(int64_t begin, int64_t end, const Add& add) {
  for (; begin < end; begin += kSumLanes) {
    const int used = static_cast<int>(std::min<int64_t>(kSumLanes, end - begin));
    for (int lane = 0; lane < used; ++lane) add(begin + lane, lane);
  }
}

}  // namespace

template <class T>
void MapWeights(const WeightMap& map, const T* w, int64_t n, T* positive, T* negative) {
  ParallelFor(n, kGrain, [&](int64_t begin, int64_t end) {
    if (negative == nullptr) {
      for (int64_t i = begin; i < end; ++i) positive[i] = static_cast<T>(map.Of(map.Relative(w[i])));
      return;
    }
    for (int64_t i = begin; i < end; ++i) {
      const double relative = map.Relative(w[i]);
      positive[i] = static_cast<T>(map.Of(relative));
      negative[i] = static_cast<T>(map.Of(-relative));
    }
  });
}

template <class T>
void SumWeights(const WeightDifferences<T>& of, double* sums) {
  const int64_t chunks = internal::SumChunks(of.n);
  std::vector<double> cross(static_cast<size_t>(chunks)), square(cross.size());
  ParallelFor(chunks, 1, [&](int64_t first, int64_t last) {
    for (int64_t chunk = first; chunk < last; ++chunk) {
      double cross_lanes[kSumLanes] = {}, square_lanes[kSumLanes] = {};
      ForLanes(chunk * kSumChunk, std::min(of.n, (chunk + 1) * kSumChunk), [&](int64_t i, int lane) {
        const double d = of.Of(i);
        cross_lanes[lane] += static_cast<double>(of.w[i]) * d;
        square_lanes[lane] += d * d;
      });
      cross[static_cast<size_t>(chunk)] = SumOf(cross_lanes);
      square[static_cast<size_t>(chunk)] = SumOf(square_lanes);
    }
  });
  for (const auto* parts : {&cross, &square}) {
    double lanes[kSumLanes] = {};
    ForLanes(0, chunks, [&](int64_t i, int lane) { lanes[lane] += (*parts)[static_cast<size_t>(i)]; });
    *sums++ = SumOf(lanes);
  }
}

#define MT_FOR_TYPE(T)                                                   \
  template void MapWeights(const WeightMap&, const T*, int64_t, T*, T*); \
  template void SumWeights(const WeightDifferences<T>&, double*);
MT_FOR_TYPE(float)
MT_FOR_TYPE(double)
#undef MT_FOR_TYPE

}  // namespace memtorch
