// Products of float64 matrices by whole warps: a warp adds 16 x 16 times 16 x 8 on the tensor cores of sm_80 and later.
//
// Each lane holds fragments of the matrices, as the table in WarpFragments has them: PTX ISA, "Matrix Fragments for
// mma.m16n8k16 with floating point type" (.f64), which sm_90 has. sm_80 has m8n8k4 alone; eight of them serve the same
// fragments, because a quarter of the depth and half of the rows of the large shape are laid out as the small one. Both
// layouts were read off code that ptxas 13.0 makes, too: where nvcuda::wmma 8 x 8 x 4 loads and stores from each lane,
// and the instructions of 8 x 8 x 4 into which it takes m16n8k16 apart for sm_100.
#ifndef MEMTORCH_ENGINE_CUDA_WARP_PRODUCT_H_
#define MEMTORCH_ENGINE_CUDA_WARP_PRODUCT_H_

#include "engine/cuda/launch.h"

namespace memtorch::cuda {

constexpr int kWarp = 32;

struct WarpFragments {
  static constexpr int kRows = 16, kCols = 8, kDepth = 16;
  static constexpr int kLeft = kRows * kDepth / kWarp, kRight = kDepth * kCols / kWarp, kSum = kRows * kCols / kWarp;

  // Element i that a lane holds of the left matrix [kRows, kDepth], of the right one [kDepth, kCols], of the sum.
  MT_HD static int LeftRow(int lane, int i) { return lane / 4 + i % 2 * 8; }
  MT_HD static int LeftDepth(int lane, int i) { return lane % 4 + i / 2 * 4; }
  MT_HD static int RightDepth(int lane, int i) { return lane % 4 + i * 4; }
  MT_HD static int RightCol(int lane) { return lane / 4; }
  MT_HD static int SumRow(int lane, int i) { return lane / 4 + i / 2 * 8; }
  MT_HD static int SumCol(int lane, int i) { return lane % 4 * 2 + i % 2; }
};

// What a lane holds of kDown left matrices, of kAcross right ones, and of the products of all of them.
template <int kDown, int kAcross>
struct WarpOperands {
  double left[kDown][WarpFragments::kLeft];
  double right[kAcross][WarpFragments::kRight];
};
template <int kDown, int kAcross>
struct WarpSums {
  double at[kDown][kAcross][WarpFragments::kSum];
};

namespace internal {

#if defined(__CUDA_ARCH__)

// sum += left right, for the warp: all lanes must get here together.
__device__ inline void MultiplyWarp(const double (&left)[8], const double (&right)[4], double (&sum)[4]) {
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f64.f64.f64.f64 {%0, %1, %2, %3}, {%4, %5, %6, %7, %8, %9, %10, %11}, "
      "{%12, %13, %14, %15}, {%0, %1, %2, %3};"
      : "+d"(sum[0]), "+d"(sum[1]), "+d"(sum[2]), "+d"(sum[3])
      : "d"(left[0]), "d"(left[1]), "d"(left[2]), "d"(left[3]), "d"(left[4]), "d"(left[5]), "d"(left[6]), "d"(left[7]),
        "d"(right[0]), "d"(right[1]), "d"(right[2]), "d"(right[3]));
#else
  MT_UNROLL
  for (int i = 0; i < WarpFragments::kLeft; ++i) {
    asm volatile("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0, %1}, {%2}, {%3}, {%0, %1};"
                 : "+d"(sum[i % 2 * 2]), "+d"(sum[i % 2 * 2 + 1])
                 : "d"(left[i]), "d"(right[i / 2]));
  }
#endif
}

#else

// What lanes show each other is no memory of a GPU: not to be watched (emulation.h).
#if MT_THREADS
#define MT_UNWATCHED __attribute__((no_sanitize_thread, noinline))
#else
#define MT_UNWATCHED
#endif

// body(thread) on all threads, and all have done it before any goes on. It is no barrier: nothing else is in order.
template <class Body>
void EachLane(const Block& block, const Body& body) {
#if MT_THREADS
  body(EmulatedThread());
  MeetUnordered(&meeting_place<Body>, block.threads());
#else
  block.EachThread(body);
#endif
}

// The matrices of a warp, which its lanes put together by the table.
template <int kDown, int kAcross>
struct WarpMatrices {
  using Fragments = WarpFragments;
  double left[kDown][Fragments::kRows][Fragments::kDepth];
  double right[kAcross][Fragments::kDepth][Fragments::kCols];

  MT_UNWATCHED void Show(int lane, const WarpOperands<kDown, kAcross>& operands) {
    for (int i = 0; i < Fragments::kLeft; ++i) {
      for (int down = 0; down < kDown; ++down) {
        left[down][Fragments::LeftRow(lane, i)][Fragments::LeftDepth(lane, i)] = operands.left[down][i];
      }
    }
    for (int i = 0; i < Fragments::kRight; ++i) {
      for (int across = 0; across < kAcross; ++across) {
        right[across][Fragments::RightDepth(lane, i)][Fragments::RightCol(lane)] = operands.right[across][i];
      }
    }
  }

  MT_UNWATCHED void Multiply(int lane, WarpSums<kDown, kAcross>* sums) const {
    for (int down = 0; down < kDown; ++down) {
      for (int across = 0; across < kAcross; ++across) {
        for (int i = 0; i < Fragments::kSum; ++i) {
          const int row = Fragments::SumRow(lane, i), col = Fragments::SumCol(lane, i);
          double& sum = sums->at[down][across][i];
          for (int k = 0; k < Fragments::kDepth; ++k) sum += left[down][row][k] * right[across][k][col];
        }
      }
    }
  }
};

#endif

}  // namespace internal

// sums[thread] += the products of what load(thread, &operands) finds, for every warp of a block. All threads must get
// here together, outside of Each; nothing waits for other warps.
template <int kThreads, int kDown, int kAcross, class Load>
MT_HD void MultiplyWarps(const Block& block, const Load& load, PerThread<WarpSums<kDown, kAcross>, kThreads>* sums) {
  static_assert(kThreads % kWarp == 0, "whole warps");
#if defined(__CUDA_ARCH__)
  static_cast<void>(block);
  const int thread = static_cast<int>(threadIdx.x);
  WarpOperands<kDown, kAcross> operands;
  load(thread, &operands);
  MT_UNROLL
  for (int down = 0; down < kDown; ++down) {
    MT_UNROLL
    for (int across = 0; across < kAcross; ++across) {
      internal::MultiplyWarp(operands.left[down], operands.right[across], (*sums)[thread].at[down][across]);
    }
  }
#else
  // Where the lanes of a warp meet: each shows what it holds, then takes what it needs.
  thread_local internal::WarpMatrices<kDown, kAcross> shown[kThreads / kWarp];
  internal::EachLane(block, [&](int thread) {
    WarpOperands<kDown, kAcross> operands;
    load(thread, &operands);
    shown[thread / kWarp].Show(thread % kWarp, operands);
  });
  internal::EachLane(block, [&](int thread) { shown[thread / kWarp].Multiply(thread % kWarp, &(*sums)[thread]); });
#endif
}

}  // namespace memtorch::cuda

#endif  // MEMTORCH_ENGINE_CUDA_WARP_PRODUCT_H_
