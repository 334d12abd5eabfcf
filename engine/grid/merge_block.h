// The elimination inside kRows rows of a joint, in vectors that hold an element of each row.
#ifndef MEMTORCH_ENGINE_GRID_MERGE_BLOCK_H_
#define MEMTORCH_ENGINE_GRID_MERGE_BLOCK_H_

#include <utility>

#include "engine/grid/merge_panels.h"
#include "engine/grid/vector.h"

namespace memtorch {
namespace MT_ISA {

template <class T>
using Column = Vector<T, kRows>;

template <class T>
MT_HD Column<T>* AsColumn(T* data) {
  return reinterpret_cast<Column<T>*>(data);
}
template <class T>
MT_HD const Column<T>* AsColumn(const T* data) {
  return reinterpret_cast<const Column<T>*>(data);
}

template <class T, int... kRow>
MT_HD Column<T> First(Vector<T> v, std::integer_sequence<int, kRow...>) {
  return Column<T>{v[kRow]...};
}

// The sum over the lanes of each of kRows vectors: in each round two of them become one.
template <class T, int kDistance = 1>
MT_HD Column<T> Totals(Vector<T>* v) {
  using Mask = MaskOf<T>;
  if constexpr (kDistance < kRows) {
    const auto low = Mask::template Exchanged<kDistance, 0>(typename Mask::Lanes());
    const auto high = Mask::template Exchanged<kDistance, kDistance>(typename Mask::Lanes());
#pragma GCC unroll 8
    for (int i = 0; i < kRows; i += 2 * kDistance) {
      v[i] = __builtin_shuffle(v[i], v[i + kDistance], low) + __builtin_shuffle(v[i], v[i + kDistance], high);
    }
    return Totals<T, 2 * kDistance>(v);
  } else if constexpr (kDistance < kLanes<T>) {
    v[0] += __builtin_shuffle(v[0], Mask::template Swapped<kDistance>(typename Mask::Lanes()));
    return Totals<T, 2 * kDistance>(v);
  } else {
    return First<T>(v[0], std::make_integer_sequence<int, kRows>());
  }
}

// The element of row kRow in place of all.
template <int kRow, class T>
MT_HD Column<T> Spread(Column<T> column) {
  return __builtin_shuffle(column, typename MaskOf<T, kRows>::Type{} + kRow);
}

template <class T>
struct EliminatedBlock {
  Column<T> n[kRows];      // n[j]: row j of the block, of which only what is right of the diagonal counts
  Column<T> right[kRows];  // right[j]: of each row, the sum of all that lies right of column j; of row j, its pivot
  Column<T> sums;          // of each row, over the outer columns
  Column<T> inverse;       // of the pivots
};

// What row kRow adds to rows and sums from kOther on.
template <int kRow, int kOther, class T>
MT_HD void EliminateInto(Column<T> own, Column<T> ratio, Column<T> inverse, EliminatedBlock<T>* e) {
  if constexpr (kOther < kRows) {
    e->right[kOther] += own * Spread<kRow, T>(e->right[kOther]) * inverse;
    e->n[kOther] += ratio * Spread<kOther, T>(own);
    EliminateInto<kRow, kOther + 1, T>(own, ratio, inverse, e);
  }
}

// The elimination of row kRow and of those after it. A pivot follows from the one before by a division and an addition,
// and waits for nothing else.
template <int kRow, class T>
MT_HD void EliminateFrom(EliminatedBlock<T>* e, BlockFactor<T>* block) {
  if constexpr (kRow < kRows) {
    using Mask = MaskOf<T, kRows>;
    const auto row = Mask::Count(typename Mask::Lanes());
    const Column<T> pivot = Spread<kRow, T>(e->right[kRow]);
    const Column<T> inverse = pivot > kNothing<T> ? 1 / pivot : Column<T>{};
    const Column<T> own = e->n[kRow];
    const Column<T> ratio = row > kRow ? own * inverse : Column<T>{};
    *AsColumn(block->ratio[kRow]) = ratio;
    EliminateInto<kRow, kRow + 1, T>(own, ratio, inverse, e);
    e->sums += ratio * Spread<kRow, T>(e->sums);
    e->inverse = row == kRow ? inverse : e->inverse;
    EliminateFrom<kRow + 1, T>(e, block);
  }
}

}  // namespace MT_ISA
}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_GRID_MERGE_BLOCK_H_
