// What one block of threads does with a matrix in global memory: walks along its columns, one thread each, turns it
// through shared memory, and adds up.
//
// Sums depend on the number of threads alone, not on their order.
#ifndef MEMTORCH_ENGINE_CUDA_BLOCK_LINES_H_
#define MEMTORCH_ENGINE_CUDA_BLOCK_LINES_H_

#include "engine/cuda/launch.h"

namespace memtorch::cuda {

// Matrices are turned in squares of this size, which leave no two threads of a warp in one bank of shared memory.
constexpr int kTurn = 32;
constexpr int kTurnStride = kTurn + 1;

// What is added up over the elements or lines of a matrix: at most this large.
constexpr int kTotalBytes = 32;

// Shared memory of a block of so many threads that calls the functions here.
MT_HD constexpr int64_t BlockLinesBytes(int threads) {
  return kTurn * kTurnStride * static_cast<int64_t>(sizeof(double)) + threads * kTotalBytes;
}

// Totals: start at 0, and take another one.
struct NoTotal {
  MT_HD void Add(const NoTotal&) {}
};
struct Sum {
  double value = 0;
  MT_HD void Add(const Sum& other) { value += other.value; }
};
MT_HD double LargerOrNaN(double a, double b) { return a > b || a != a ? a : b; }
struct Largest {
  double value = 0;
  MT_HD void Add(const Largest& other) { value = LargerOrNaN(value, other.value); }
};

// One total for each thread, in shared memory.
template <class T>
MT_HD T* TotalsOf(const Block& block) {
  static_assert(sizeof(T) <= kTotalBytes, "room in BlockLinesBytes");
  return block.Shared<T>(kTurn * kTurnStride * static_cast<int64_t>(sizeof(double)));
}
// All of them in one, on every thread.
template <class T>
MT_HD T Total(const Block& block) {
  T* totals = TotalsOf<T>(block);
  for (int half = block.threads() / 2; half > 0; half /= 2) {
    block.Each(half, [&](int k) { totals[k].Add(totals[k + half]); });
  }
  const T total = totals[0];
  block.Wait();  // none writes there before all have read
  return total;
}

// body(k, &total) for k in [0, n), spread over the threads; the total of all.
template <class T, class Body>
MT_HD T Over(const Block& block, int64_t n, const Body& body) {
  T* totals = TotalsOf<T>(block);
  block.Each(block.threads(), [&](int thread) {
    T total{};
    for (int64_t k = thread; k < n; k += block.threads()) body(k, &total);
    totals[thread] = total;
  });
  return Total<T>(block);
}

// step(k, load(k)) for k in [0, n), one after the other. Some loads run ahead, so that a step waits for the one before
// it but not for the memory: load(k) must not depend on steps.
template <class Load, class Step>
MT_HD void Walk(int64_t n, const Load& load, const Step& step) {
  constexpr int kAhead = 8;
  int64_t k = 0;
  for (; k + kAhead <= n; k += kAhead) {
    decltype(load(k)) ahead[kAhead];
    MT_UNROLL
    for (int u = 0; u < kAhead; ++u) ahead[u] = load(k + u);
    MT_UNROLL
    for (int u = 0; u < kAhead; ++u) step(k + u, ahead[u]);
  }
  for (; k < n; ++k) step(k, load(k));
}
// From n - 1 down to 0.
template <class Load, class Step>
MT_HD void WalkBack(int64_t n, const Load& load, const Step& step) {
  Walk(n, [&](int64_t k) { return load(n - 1 - k); }, [&](int64_t k, const auto& loaded) { step(n - 1 - k, loaded); });
}

// store(i, j, load(i, j), &total) for a matrix [rows, cols]; the total of all. Neighbouring threads load neighbouring
// columns, and store neighbouring rows. load must not depend on stores, except to its own element.
template <class T, class Load, class Store>
MT_HD T Turn(const Block& block, int64_t rows, int64_t cols, const Load& load, const Store& store) {
  double* square = block.Shared<double>();
  T* totals = TotalsOf<T>(block);
  block.Each(block.threads(), [&](int thread) { totals[thread] = T{}; });
  for (int64_t i0 = 0; i0 < rows; i0 += kTurn) {
    for (int64_t j0 = 0; j0 < cols; j0 += kTurn) {
      block.Each(kTurn * kTurn, [&](int k) {
        const int64_t i = i0 + k / kTurn, j = j0 + k % kTurn;
        if (i < rows && j < cols) square[k / kTurn * kTurnStride + k % kTurn] = load(i, j);
      });
      block.Each(block.threads(), [&](int thread) {
        T total = totals[thread];
        for (int k = thread; k < kTurn * kTurn; k += block.threads()) {
          const int64_t i = i0 + k % kTurn, j = j0 + k / kTurn;
          if (i < rows && j < cols) store(i, j, square[k % kTurn * kTurnStride + k / kTurn], &total);
        }
        totals[thread] = total;
      });
    }
  }
  return Total<T>(block);
}

}  // namespace memtorch::cuda

#endif  // MEMTORCH_ENGINE_CUDA_BLOCK_LINES_H_
