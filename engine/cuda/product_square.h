// Squares of matrix products, by a block of threads each: in float64 on tensor cores, in float32 on plain ones, since
// tensor cores would round its operands to 11 bits.
//
// Both operands come through shared memory, kDepth of the depth at a time: a chunk is copied while the one before it is
// multiplied.
#ifndef MEMTORCH_ENGINE_CUDA_PRODUCT_SQUARE_H_
#define MEMTORCH_ENGINE_CUDA_PRODUCT_SQUARE_H_

#include "engine/cuda/warp_product.h"

namespace memtorch::cuda {

// Copies an element from the GPU's memory to shared memory, or zero, on its own. It is there after FinishCopies and a
// wait of the block. The emulation copies at once.
template <class T>
MT_HD void StartCopy(T* to, const T* from, bool zero) {
#if defined(__CUDA_ARCH__)
  asm volatile(
      "cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(static_cast<unsigned>(__cvta_generic_to_shared(to))),
      "l"(from), "n"(sizeof(T)), "r"(zero ? 0 : static_cast<int>(sizeof(T)))
      : "memory");
#else
  *to = zero ? T(0) : *from;
#endif
}

// Waits for the copies that this thread has started.
MT_HD void FinishCopies() {
#if defined(__CUDA_ARCH__)
  asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

constexpr int kDepth = WarpFragments::kDepth;

// A matrix [depth, count] as it is multiplied: element (k, i) at data[k stride + i], or where its memory runs along the
// depth, kDeep, at data[i stride + k]. Columns from `count` on are zero.
template <class T, bool kDeep>
struct Operand {
  const T* data;
  int stride;
  int count;

  MT_HD const T* At(int k, int i) const { return data + (kDeep ? i * stride + k : k * stride + i); }
};

// A chunk of an operand, [kDepth, kSide], in shared memory: it runs as the operand does, so that threads side by side
// write side by side. Its strides put what a half of a warp reads at a time, four elements of the depth and four of the
// side in float64, or sixteen of the side in float32, into banks of their own.
template <class T, int kSide, bool kDeep>
struct Chunk {
  static constexpr int kStride = kDeep ? kDepth + (sizeof(T) == 8 ? 4 : 1) : kSide + 4;
  static constexpr int kSize = kStride * (kDeep ? kSide : kDepth);

  const T* data;

  MT_HD static int Place(int k, int i) { return kDeep ? i * kStride + k : k * kStride + i; }
  MT_HD T At(int k, int i) const { return data[Place(k, i)]; }
};

// The sums of a square: a thread has four rows and every (kSide / 4)th column.
template <class T, int kSide>
struct SquareSums {
  static constexpr int kColumns = kSide / 4;
  static constexpr int kThreads = kColumns * kColumns;
  static constexpr int kBlocks = 1;

  struct Sums {
    T at[4][4];
  };
  PerThread<Sums, kThreads> sums;

  MT_HD static int Row(int thread, int r) { return thread / kColumns * 4 + r; }
  MT_HD static int Col(int thread, int c) { return thread % kColumns + c * kColumns; }

  template <class Left, class Right>
  MT_HD void Add(const Block& block, const Left& left, const Right& right) {
    block.EachThread([&](int t) {
      Sums sum = sums[t];
      for (int k = 0; k < kDepth; ++k) {
        T x[4], y[4];
        MT_UNROLL
        for (int r = 0; r < 4; ++r) x[r] = left.At(k, Row(t, r));
        MT_UNROLL
        for (int c = 0; c < 4; ++c) y[c] = right.At(k, Col(t, c));
        MT_UNROLL
        for (int r = 0; r < 4; ++r) {
          MT_UNROLL
          for (int c = 0; c < 4; ++c) sum.at[r][c] += x[r] * y[c];
        }
      }
      sums[t] = sum;
    });
  }

  // To out[row stride + col].
  MT_HD void Store(const Block& block, T* out, int stride) {
    block.EachThread([&](int t) {
      MT_UNROLL
      for (int r = 0; r < 4; ++r) {
        MT_UNROLL
        for (int c = 0; c < 4; ++c) out[Row(t, r) * stride + Col(t, c)] = sums[t].at[r][c];
      }
    });
  }
};

// In float64 each of four warps has a quarter.
template <int kSide>
struct SquareSums<double, kSide> {
  using Fragments = WarpFragments;
  static constexpr int kThreads = 4 * kWarp;
  static constexpr int kBlocks = kSide > 32 ? 3 : 6;  // on a multiprocessor: no more fit its registers without spilling
  static constexpr int kHalf = kSide / 2;
  static constexpr int kDown = kHalf / Fragments::kRows, kAcross = kHalf / Fragments::kCols;

  using Sums = WarpSums<kDown, kAcross>;
  PerThread<Sums, kThreads> sums;

  MT_HD static int FirstRow(int thread) { return thread / (2 * kWarp) * kHalf; }
  MT_HD static int FirstCol(int thread) { return thread / kWarp % 2 * kHalf; }

  template <class Left, class Right>
  MT_HD void Add(const Block& block, const Left& left, const Right& right) {
    MultiplyWarps<kThreads>(
        block,
        [&](int t, WarpOperands<kDown, kAcross>* operands) {
          const int lane = t % kWarp;
          MT_UNROLL
          for (int down = 0; down < kDown; ++down) {
            MT_UNROLL
            for (int i = 0; i < Fragments::kLeft; ++i) {
              const int row = FirstRow(t) + down * Fragments::kRows + Fragments::LeftRow(lane, i);
              operands->left[down][i] = left.At(Fragments::LeftDepth(lane, i), row);
            }
          }
          MT_UNROLL
          for (int across = 0; across < kAcross; ++across) {
            MT_UNROLL
            for (int i = 0; i < Fragments::kRight; ++i) {
              const int col = FirstCol(t) + across * Fragments::kCols + Fragments::RightCol(lane);
              operands->right[across][i] = right.At(Fragments::RightDepth(lane, i), col);
            }
          }
        },
        &sums);
  }

  MT_HD void Store(const Block& block, double* out, int stride) {
    block.EachThread([&](int t) {
      const int lane = t % kWarp;
      MT_UNROLL
      for (int down = 0; down < kDown; ++down) {
        MT_UNROLL
        for (int across = 0; across < kAcross; ++across) {
          MT_UNROLL
          for (int i = 0; i < Fragments::kSum; ++i) {
            const int row = FirstRow(t) + down * Fragments::kRows + Fragments::SumRow(lane, i);
            const int col = FirstCol(t) + across * Fragments::kCols + Fragments::SumCol(lane, i);
            out[row * stride + col] = sums[t].at[down][across][i];
          }
        }
      }
    });
  }
};

// A square of a product, kSide x kSide.
template <class T, int kSide>
struct ProductSquare {
  static constexpr int kThreads = SquareSums<T, kSide>::kThreads;
  static constexpr int kBlocks = SquareSums<T, kSide>::kBlocks;
  static constexpr int kStride = kSide + 4;  // of the sums in shared memory
  static constexpr int kChunk = Chunk<T, kSide, true>::kSize > Chunk<T, kSide, false>::kSize
                                    ? Chunk<T, kSide, true>::kSize
                                    : Chunk<T, kSide, false>::kSize;
  static constexpr int64_t kSharedBytes = 4 * kChunk * static_cast<int64_t>(sizeof(T));
  static_assert(kSide * kStride <= 4 * kChunk, "sums take the place of chunks");

  SquareSums<T, kSide> sums;

  MT_HD void Clear(const Block& block) {
    block.EachThread([&](int t) { sums.sums[t] = {}; });
  }

  // += the sum over k < depth of left(k, row) right(k, col).
  template <bool kLeftDeep, bool kRightDeep>
  MT_HD void AddProduct(const Block& block, int depth, const Operand<T, kLeftDeep>& left,
                        const Operand<T, kRightDeep>& right) {
    T* const memory = block.Shared<T>();
    if (depth > 0) Copy(block, left, right, 0, depth, memory);
    for (int first = 0; first < depth; first += kDepth) {
      T* const chunks = memory + first / kDepth % 2 * 2 * kChunk;
      FinishCopies();
      block.Wait();
      if (first + kDepth < depth) {
        Copy(block, left, right, first + kDepth, depth, memory + (first / kDepth + 1) % 2 * 2 * kChunk);
      }
      sums.Add(block, Chunk<T, kSide, kLeftDeep>{chunks}, Chunk<T, kSide, kRightDeep>{chunks + kChunk});
    }
    block.Wait();
  }

  // body(row, col, &sum), with sums in shared memory: sum(row, col) stays there.
  template <class Body>
  MT_HD void ForEachSum(const Block& block, const Body& body) {
    T* const memory = block.Shared<T>();
    sums.Store(block, memory, kStride);
    block.Each(kSide * kSide, [&](int e) {
      const int row = e / kSide, col = e % kSide;
      body(row, col, memory + row * kStride + col);
    });
  }

 private:
  template <bool kLeftDeep, bool kRightDeep>
  MT_HD static void Copy(const Block& block, const Operand<T, kLeftDeep>& left, const Operand<T, kRightDeep>& right,
                         int first, int depth, T* chunks) {
    block.EachThread([&](int thread) {
      CopyPart(left, thread, first, depth, chunks);
      CopyPart(right, thread, first, depth, chunks + kChunk);
    });
  }

  // A thread keeps its place along the memory of the operand.
  template <bool kDeep>
  MT_HD static void CopyPart(const Operand<T, kDeep>& operand, int thread, int first, int depth, T* chunk) {
    constexpr int kAlong = kDeep ? kDepth : kSide, kStep = kThreads / kAlong, kSteps = kDepth * kSide / kThreads;
    const int along = thread % kAlong, begin = thread / kAlong;
    MT_UNROLL
    for (int n = 0; n < kSteps; ++n) {
      const int k = kDeep ? along : begin + n * kStep, i = kDeep ? begin + n * kStep : along;
      const bool inside = first + k < depth && i < operand.count;
      StartCopy(chunk + Chunk<T, kSide, kDeep>::Place(k, i), inside ? operand.At(first + k, i) : operand.data, !inside);
    }
  }
};

}  // namespace memtorch::cuda

#endif  // MEMTORCH_ENGINE_CUDA_PRODUCT_SQUARE_H_
