// Weights as conductances: the linear map to one or two of them, and how differences of conductances stand for weights.
#ifndef MEMTORCH_ENGINE_WEIGHTS_H_
#define MEMTORCH_ENGINE_WEIGHTS_H_

#include "engine/core.h"
#include "engine/math.h"

namespace memtorch {

// g(w) = middle + slope * w / w_max, held within [low, high] (siemens). w_max 0: all weights are, too.
struct WeightMap {
  double w_max = 0;
  double middle = 0, slope = 0;
  double low = 0, high = 0;

  // w / w_max.
  MT_HD double Relative(double w) const { return w_max > 0 ? w / w_max : 0; }
  MT_HD double Of(double relative) const { return Clamp(middle + slope * relative, low, high); }
};

// positive[i] = g(w[i]) and negative[i] = g(-w[i]), rounded once to T; `negative` may be null. Threaded.
template <class T>
void MapWeights(const WeightMap& map, const T* w, int64_t n, T* positive, T* negative);

// A difference of conductances for each weight: d = positive - negative, or positive - reference where `negative` is
// null (siemens).
template <class T>
struct WeightDifferences {
  const T* w = nullptr;
  const T* positive = nullptr;
  const T* negative = nullptr;
  double reference = 0;
  int64_t n = 0;

  MT_HD double Of(int64_t i) const {
    return static_cast<double>(positive[i]) - (negative == nullptr ? reference : static_cast<double>(negative[i]));
  }
};

// sums[0] = sum of w d, sums[1] = sum of d d: of which the least-squares gain from d to w is made. Threaded. The order
// of the additions depends on n alone.
template <class T>
void SumWeights(const WeightDifferences<T>& of, double* sums);

namespace internal {

// Weights are added up in chunks, a chunk in lanes, and lanes and chunks in pairs: the same on a GPU, where a chunk is a
// block and a lane is a thread.
constexpr int kSumLanes = 256;
constexpr int64_t kSumChunk = 128 * kSumLanes;

constexpr int64_t SumChunks(int64_t n) { return (n + kSumChunk - 1) / kSumChunk; }

}  // namespace internal
}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_WEIGHTS_H_
