// From the factors of a joint to w = K^-1 F, the potentials of what is shared when the outer ports are held.
#ifndef MEMTORCH_ENGINE_GRID_BACK_SUBSTITUTION_H_
#define MEMTORCH_ENGINE_GRID_BACK_SUBSTITUTION_H_

#include <cstdint>

#include "engine/grid/merge_panels.h"
#include "engine/grid/vector.h"

namespace memtorch {
namespace MT_ISA {

// tile += a b for rows [first, last) of b, where a holds its rows in panels from row `row` on.
template <class T>
MT_HD void AddRowProduct(const Panels<T>& a, int64_t row, const T* b, int64_t first, int64_t last, Tile<T>* tile) {
  for (int64_t k = first; k < last;) {
    const T* left = a.at(row, k);
    const int64_t room = kPanel<T> - k % kPanel<T>;
    const int64_t count = room < last - k ? room : last - k;
    for (int64_t e = 0; e < count; ++e) {
      Vector<T> right[kVectors];
#pragma GCC unroll 4
      for (int c = 0; c < kVectors; ++c) right[c] = AsVector(b + (k + e) * kPanel<T>)[c];
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        const Vector<T> value = left[r * kPanel<T> + e] - Vector<T>{};
#pragma GCC unroll 4
        for (int c = 0; c < kVectors; ++c) tile->sum[r][c] += value * right[c];
      }
    }
    k += count;
  }
}

// The outer columns of the factors become w, the potentials of the shared nodes: back-substitution, nothing subtracted.
template <class T>
MT_HD void BackSubstitute(const Factors<T>& f) {
  for (int64_t p = 0; p < f.outer_panels(); ++p) {
    T* panel = f.outer.panel(p);
    for (int64_t row = f.rows - kRows; row >= 0; row -= kRows) {
      T* rows = panel + row * kPanel<T>;
      const BlockFactor<T>& block = f.blocks[row / kRows];
      Tile<T> tile;
      tile.Load(rows, kPanel<T>);
      AddRowProduct(f.shared, row, panel, row + kRows, f.rows, &tile);
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
      tile.Store(rows, kPanel<T>);
    }
  }
}

}  // namespace MT_ISA
}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_GRID_BACK_SUBSTITUTION_H_
