// From the factors of a joint to w = K^-1 F, the potentials of what is shared when the outer ports are held.
#ifndef MEMTORCH_ENGINE_GRID_BACK_SUBSTITUTION_H_
#define MEMTORCH_ENGINE_GRID_BACK_SUBSTITUTION_H_

#include <cstdint>

#include "engine/grid/merge_panels.h"
#include "engine/grid/vector.h"

namespace memtorch {
namespace MT_ISA {

// tile += a b, where a is [kRows, depth] and b [depth, kWidth vectors], rows a_stride and b_stride apart.
template <class T, int kWidth>
MT_HD void AddRowProduct(const T* a, int64_t a_stride, const T* b, int64_t b_stride, int64_t depth,
                         Tile<T, kWidth>* tile) {
  for (int64_t k = 0; k < depth; ++k) {
    Vector<T> right[kWidth];
#pragma GCC unroll 4
    for (int c = 0; c < kWidth; ++c) right[c] = AsVector(b + k * b_stride)[c];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const Vector<T> value = a[r * a_stride + k] - Vector<T>{};
#pragma GCC unroll 4
      for (int c = 0; c < kWidth; ++c) tile->sum[r][c] += value * right[c];
    }
  }
}

// tile += a b for rows [first, last) of b, `stride` apart, where a holds its rows in panels from row `row` on.
template <class T>
MT_HD void AddRowProduct(const Panels<T>& a, int64_t row, const T* b, int64_t first, int64_t last, Tile<T>* tile,
                         int64_t stride = kPanel<T>) {
  for (int64_t k = first; k < last;) {
    const int64_t room = kPanel<T> - k % kPanel<T>;
    const int64_t depth = room < last - k ? room : last - k;
    AddRowProduct(a.at(row, k), kPanel<T>, b + k * stride, stride, depth, tile);
    k += depth;
  }
}

// Panel p of w, to rows `stride` apart, by back-substitution: nothing subtracted. It may take the place of the factors.
template <class T>
MT_HD void BackSubstitute(const Factors<T>& f, int64_t p, T* w, int64_t stride) {
  for (int64_t row = f.rows - kRows; row >= 0; row -= kRows) {
    const BlockFactor<T>& block = f.blocks[row / kRows];
    Tile<T> tile;
    tile.Load(f.outer.panel(p) + row * kPanel<T>, kPanel<T>);
    AddRowProduct(f.shared, row, w, row + kRows, f.rows, &tile, stride);
#pragma GCC unroll 8
    for (int r = kRows - 1; r >= 0; --r) {
#pragma GCC unroll 4
      for (int c = 0; c < kVectors; ++c) tile.sum[r][c] *= block.root[r];
#pragma GCC unroll 8
      for (int k = kRows - 1; k > r; --k) {
#pragma GCC unroll 4
        for (int c = 0; c < kVectors; ++c) tile.sum[r][c] += block.ratio[r][k] * tile.sum[k][c];
      }
    }
    tile.Store(w + row * stride, stride);
  }
}

// The outer columns of the factors become w.
template <class T>
MT_HD void BackSubstitute(const Factors<T>& f) {
  for (int64_t p = 0; p < f.outer_panels(); ++p) BackSubstitute(f, p, f.outer.panel(p), kPanel<T>);
}

}  // namespace MT_ISA
}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_GRID_BACK_SUBSTITUTION_H_
