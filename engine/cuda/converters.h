// How the threads of a block share converters: what adc.cu and its two kinds of kernels have in common.
#ifndef MEMTORCH_ENGINE_CUDA_CONVERTERS_H_
#define MEMTORCH_ENGINE_CUDA_CONVERTERS_H_

#include "engine/cuda/launch.h"
#include "engine/quantize.h"

namespace memtorch::cuda {

constexpr int kAdcThreads = 128;

// Which converter of its block a thread serves, and which of the threads of that converter it is.
template <int kWidth>
struct Seat {
  static constexpr int kThreads = kAdcThreads / kWidth;  // of each converter

  int lane, share;

  MT_HD explicit Seat(int thread)
      : lane(kWidth == 32 ? thread % 32 : thread / kThreads), share(kWidth == 32 ? thread / 32 : thread % kThreads) {}
  MT_HD static int ThreadOf(int lane, int share) { return kWidth == 32 ? share * 32 + lane : lane * kThreads + share; }
};

// The converters of tiles side by side: columns [first, last) of the sums, tile_cols of them for each. A block serves
// `kWidth` converters of one tile, side by side in `inner`, and the threads of a converter share its columns.
// Neighbouring threads are neighbours in memory: with kWidth = 4, for col_stride 1, along the columns; with kWidth = 32,
// for inner_stride 1, along `inner`.
template <class T, int kWidth>
struct Converters {
  PartialSums<T> sums;
  int64_t first, last, tile_cols;
  T* out;

  MT_HD int64_t tiles() const { return (last - first + tile_cols - 1) / tile_cols; }
  MT_HD int64_t strips() const { return (sums.inner + kWidth - 1) / kWidth; }
  int64_t blocks() const { return sums.outer * strips() * tiles(); }

  // Columns of the block's tile.
  MT_HD int64_t Cols(int64_t block) const {
    const int64_t begin = FirstColumn(block);
    return last - begin < tile_cols ? last - begin : tile_cols;
  }
  // Whether the thread's converter is one of the sums'.
  MT_HD bool Exists(int64_t block, int thread) const { return Position(block, thread) < sums.inner; }
  // Offset of column c of the thread's converter in part 0; part t is t * part_stride further.
  MT_HD int64_t Offset(int64_t block, int thread, int64_t c) const {
    return block / tiles() / strips() * sums.outer_stride + (FirstColumn(block) + c) * sums.col_stride +
           Position(block, thread) * sums.inner_stride;
  }

 private:
  MT_HD int64_t FirstColumn(int64_t block) const { return first + block % tiles() * tile_cols; }
  MT_HD int64_t Position(int64_t block, int thread) const {
    return block / tiles() % strips() * kWidth + Seat<kWidth>(thread).lane;
  }
};

// What the kThreads threads of each converter hold, combined for all of them: shared[thread] = the combination of the
// values of all threads of its converter. `combine` is associative, commutative and exact.
template <int kWidth, class Value, class Combine>
MT_HD void CombineShares(const Block& block, Value* shared, Value* scratch, const Combine& combine) {
  constexpr int kThreads = Seat<kWidth>::kThreads;
  constexpr int kGroups = kThreads > 4 ? kThreads / 4 : 1;  // of threads, each combined by its first
  block.Each(kAdcThreads, [&](int thread) {
    const Seat<kWidth> seat(thread);
    if (seat.share >= kGroups) return;
    Value value = shared[thread];
    for (int other = seat.share + kGroups; other < kThreads; other += kGroups) {
      value = combine(value, shared[seat.ThreadOf(seat.lane, other)]);
    }
    scratch[thread] = value;
  });
  block.Each(kAdcThreads, [&](int thread) {
    const Seat<kWidth> seat(thread);
    Value value = scratch[seat.ThreadOf(seat.lane, 0)];
    for (int other = 1; other < kGroups; ++other) value = combine(value, scratch[seat.ThreadOf(seat.lane, other)]);
    shared[thread] = value;
  });
}

}  // namespace memtorch::cuda

#endif  // MEMTORCH_ENGINE_CUDA_CONVERTERS_H_
