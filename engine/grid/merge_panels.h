// The factors of a joint as they lie in memory, and the tile of a product that stays in registers.
#ifndef MEMTORCH_ENGINE_GRID_MERGE_PANELS_H_
#define MEMTORCH_ENGINE_GRID_MERGE_PANELS_H_

#include <cstdint>

#include "engine/grid/merge_kernels.h"
#include "engine/grid/vector.h"

namespace memtorch {
namespace MT_ISA {

// The block of a result that stays in registers: kRows x kVectors vectors.
#if defined(__AVX512F__)
constexpr int kRows = 8;
constexpr int kVectors = 3;
#elif defined(__AVX2__)
constexpr int kRows = 4;
constexpr int kVectors = 3;
#else
constexpr int kRows = 2;
constexpr int kVectors = 4;
#endif
template <class T>
constexpr int kPanel = kVectors * kLanes<T>;

// A matrix in panels of kPanel columns, each row-major: a panel is one stretch of memory, and so is a row within it.
template <class T>
struct Panels {
  T* data;
  int64_t rows;

  MT_HD T* panel(int64_t p) const { return data + p * rows * kPanel<T>; }
  MT_HD T* at(int64_t row, int64_t col) const { return panel(col / kPanel<T>) + row * kPanel<T> + col % kPanel<T>; }
};

MT_HD int64_t RoundUp(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

// The elimination inside kRows rows.
template <class T>
struct BlockFactor {
  T ratio[kRows][kRows];  // ratio[q][k], k > q: what of row q goes into row k
  T root[kRows];          // 1 / sqrt(pivot)
};

// The factors of a merge: x of the shared columns and of the outer ones. Rows beyond `shared` are zero.
template <class T>
struct Factors {
  int64_t rows, ports;
  Panels<T> shared, outer;
  BlockFactor<T>* blocks;  // [rows / kRows]
  T* sums;                 // [rows]: of each row, over the outer columns

  MT_HD explicit Factors(const Merge<T>& merge)
      : rows(RoundUp(merge.node->shared, kRows)),
        ports(merge.node->ports),
        shared{merge.factors, rows},
        outer{shared.panel(shared_panels()), rows},
        blocks(reinterpret_cast<BlockFactor<T>*>(outer.panel(outer_panels()))),
        sums(reinterpret_cast<T*>(blocks + rows / kRows)) {}
  MT_HD int64_t shared_panels() const { return (rows + kPanel<T> - 1) / kPanel<T>; }
  MT_HD int64_t outer_panels() const { return (ports + kPanel<T> - 1) / kPanel<T>; }
};

// kRows x kWidth vectors that stay in registers: its loops must be unrolled.
template <class T, int kWidth = kVectors>
struct Tile {
  Vector<T> sum[kRows][kWidth];

  MT_HD void Load(const T* from, int64_t stride) {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int c = 0; c < kWidth; ++c) sum[r][c] = AsVector(from + r * stride)[c];
    }
  }
  MT_HD void Store(T* to, int64_t stride) const {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int c = 0; c < kWidth; ++c) AsVector(to + r * stride)[c] = sum[r][c];
    }
  }
  // += a^T b, where a [depth, kRows] and b [depth, kWidth vectors] are parts of panels.
  MT_HD void AddProduct(const T* a, const T* b, int64_t depth) {
    for (int64_t k = 0; k < depth; ++k) {
      Vector<T> right[kWidth];
#pragma GCC unroll 4
      for (int c = 0; c < kWidth; ++c) right[c] = AsVector(b + k * kPanel<T>)[c];
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        const Vector<T> left = a[k * kPanel<T> + r] - Vector<T>{};
#pragma GCC unroll 4
        for (int c = 0; c < kWidth; ++c) sum[r][c] += left * right[c];
      }
    }
  }
  // The elimination of its rows.
  MT_HD void Apply(const BlockFactor<T>& block) {
#pragma GCC unroll 8
    for (int q = 0; q + 1 < kRows; ++q) {
#pragma GCC unroll 8
      for (int k = q + 1; k < kRows; ++k) {
#pragma GCC unroll 4
        for (int c = 0; c < kWidth; ++c) sum[k][c] += block.ratio[q][k] * sum[q][c];
      }
    }
#pragma GCC unroll 8
    for (int k = 0; k < kRows; ++k) {
#pragma GCC unroll 4
      for (int c = 0; c < kWidth; ++c) sum[k][c] *= block.root[k];
    }
  }
};

template <class T>
MT_HD void Clear(T* data, int64_t size) {
  for (int64_t i = 0; i < size; ++i) data[i] = 0;
}

}  // namespace MT_ISA
}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_GRID_MERGE_PANELS_H_
