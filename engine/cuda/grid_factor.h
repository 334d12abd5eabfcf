// The factors of a joint. Those of a small one are the work of one block of threads; a large one goes panel by panel,
// with many blocks for each.
#ifndef MEMTORCH_ENGINE_CUDA_GRID_FACTOR_H_
#define MEMTORCH_ENGINE_CUDA_GRID_FACTOR_H_

#include <algorithm>

#include "engine/cuda/grid_square.h"

namespace memtorch::cuda {

constexpr int kFactorThreads = 128;

// Shared memory of FactorRows, elements.
constexpr int64_t FactorMemory(int rows) { return kSlab * (3 * kSlab + kFactorThreads + rows); }

// From the sums of each thread to what lies right of each column of a slab.
template <class T>
MT_HD void SumRight(const Block& block, T* sums, T* n) {
  constexpr int kParts = 8;
  block.Each(kSlab * kParts, [&](int e) {
    T* row = sums + e / kParts * kFactorThreads + e % kParts;
    T sum = row[0];
    for (int t = kParts; t < kFactorThreads; t += kParts) sum += row[t];
    row[0] = sum;
  });
  block.Each(kSlab, [&](int r) {
    T sum = 0;
    for (int p = 0; p < kParts; ++p) sum += sums[r * kFactorThreads + p];
    for (int col = kSlab - 1; col >= r; --col) {
      n[r * 2 * kSlab + kSlab + col] = sum;
      sum += n[r * 2 * kSlab + col];
    }
  });
}

// kGroup pivots of a slab, from row `first` on, as one thread eliminates them: among themselves, then in any column.
// Threads do so for themselves, so that they wait for each other only once for all of the pivots.
template <class T>
struct PivotGroup {
  static constexpr int kGroup = 4;

  T inverse[kGroup];
  T ratio[kGroup][kGroup];  // what row p adds to row q > p, of itself

  // `n` as EliminateSlab has it.
  MT_HD PivotGroup(const T* n, int first) {
    const T* const corner = n + first * 2 * kSlab + first;
    T rows[kGroup][kGroup], right[kGroup][kGroup];
    MT_UNROLL
    for (int p = 0; p < kGroup; ++p) {
      MT_UNROLL
      for (int q = p; q < kGroup; ++q) {
        rows[p][q] = corner[p * 2 * kSlab + q];
        right[p][q] = corner[p * 2 * kSlab + kSlab + q];
      }
    }
    MT_UNROLL
    for (int p = 0; p < kGroup; ++p) {
      inverse[p] = InverseOf(right[p][p]);
      MT_UNROLL
      for (int q = p + 1; q < kGroup; ++q) {
        ratio[p][q] = rows[p][q] * inverse[p];
        MT_UNROLL
        for (int j = q; j < kGroup; ++j) {
          if (j > q) rows[q][j] += ratio[p][q] * rows[p][j];
          right[q][j] += ratio[p][q] * right[p][j];
        }
      }
    }
  }

  // A column of the group's rows, from its first row.
  MT_HD void Eliminate(const T* column, T* x) const {
    MT_UNROLL
    for (int p = 0; p < kGroup; ++p) x[p] = column[p * 2 * kSlab];
    MT_UNROLL
    for (int p = 0; p < kGroup; ++p) {
      MT_UNROLL
      for (int q = p + 1; q < kGroup; ++q) x[q] += ratio[p][q] * x[p];
    }
  }
};

// The elimination inside a slab. `n` [kSlab, 2 kSlab]: conductances between its rows, right of the diagonal; then what
// lies right of each column, which is updated like a column and holds the pivots. `factors` [kSlab, kSlab].
template <class T>
MT_HD void EliminateSlab(const Block& block, T* n, T* factors) {
  constexpr int kGroup = PivotGroup<T>::kGroup, kWidth = 2 * kSlab;
  static_assert(kGroup * kWidth == kFactorThreads, "a thread has a column, and every fourth row");
  for (int first = 0; first < kSlab; first += kGroup) {
    block.EachThread([&](int thread) {
      const int col = thread % kWidth, own = thread / kWidth;
      const PivotGroup<T> group(n, first);
      T pivots[kGroup];
      group.Eliminate(n + first * kWidth + col, pivots);
      MT_UNROLL
      for (int q = 0; q < kGroup; ++q) {
        if (q != own || col >= kSlab) continue;
        const T root = RootOf(group.inverse[q]);
        const int row = first + q;
        factors[row * kSlab + col] = row == col ? root : row < col ? pivots[q] * root : T(0);
      }
      // All rows at once, so that none waits for another; what there is none of is not stored.
      MT_UNROLL
      for (int step = kGroup; step < kSlab; step += kGroup) {
        const int row = Least(first + step + own, kSlab - 1);
        T others[kGroup];
        group.Eliminate(n + first * kWidth + row, others);
        const bool has = first + step + own < kSlab && (col < kSlab ? row < col : row <= col - kSlab);
        T value = has ? n[row * kWidth + col] : T(0);
        MT_UNROLL
        for (int p = 0; p < kGroup; ++p) value += others[p] * group.inverse[p] * pivots[p];
        if (has) n[row * kWidth + col] = value;
      }
    });
  }
}

// Factors [rows, width] of the rows that gather(first, col, &column) adds to a column of a slab. A thread has whole
// columns: what earlier slabs add to them, the elimination inside the slab, in which they count by their sum alone, and
// its effect on them. Columns from `counted` on count in no sum.
template <class T, class Gather>
MT_HD void FactorRows(const Block& block, int rows, int width, int counted, T* factors, T* memory,
                      const Gather& gather) {
  constexpr int kAhead = 8;  // rows that are loaded together
  T* const n = memory;
  T* const diagonal = n + 2 * kSlab * kSlab;
  T* const sums = diagonal + kSlab * kSlab;
  T* const stage = sums + kSlab * kFactorThreads;
  for (int first = 0; first < rows; first += kSlab) {
    // What earlier slabs have in the slab's columns.
    block.Each(first * kSlab, [&](int e) { stage[e] = factors[e / kSlab * width + first + e % kSlab]; });
    block.EachThread([&](int thread) {
      T* const sum = sums + thread;
      MT_UNROLL
      for (int r = 0; r < kSlab; ++r) sum[r * kFactorThreads] = 0;
      for (int j = first + thread; j < width; j += kFactorThreads) {
        Column<T> column{};
        gather(first, j, &column);
        for (int k = 0; k < first; k += kAhead) {
          T right[kAhead];
          MT_UNROLL
          for (int a = 0; a < kAhead; ++a) right[a] = factors[(k + a) * width + j];
          MT_UNROLL
          for (int a = 0; a < kAhead; ++a) {
            MT_UNROLL
            for (int r = 0; r < kSlab; ++r) column.x[r] += stage[(k + a) * kSlab + r] * right[a];
          }
        }
        const bool inside = j < first + kSlab;
        MT_UNROLL
        for (int r = 0; r < kSlab; ++r) {
          if (inside) {
            n[r * 2 * kSlab + j - first] = column.x[r];
          } else {
            factors[(first + r) * width + j] = column.x[r];
            if (j < counted) sum[r * kFactorThreads] += column.x[r];
          }
        }
      }
    });
    SumRight(block, sums, n);
    EliminateSlab(block, n, diagonal);
    block.Each(kSlab * kSlab, [&](int e) { factors[(first + e / kSlab) * width + first + e % kSlab] = diagonal[e]; });
    // No loop inside: the compiler would keep all of the diagonal in registers.
    for (int group = first + kSlab; group < width; group += kFactorThreads) {
      block.EachThread([&](int thread) {
        if (group + thread >= width) return;
        T* const out = factors + first * width + group + thread;
        Column<T> column;
        MT_UNROLL
        for (int r = 0; r < kSlab; ++r) column.x[r] = out[r * width];
        MT_UNROLL
        for (int k = 0; k < kSlab; ++k) {
          column.x[k] *= diagonal[k * kSlab + k];
          MT_UNROLL
          for (int r = k + 1; r < kSlab; ++r) column.x[r] += diagonal[k * kSlab + r] * column.x[k];
          out[k * width] = column.x[k];
        }
      });
    }
  }
}

// All factors of a joint, one block of threads each.
template <class T>
struct FactorJoint {
  TileJoints<T> joints;

  // For joints that have at most `rows` rows.
  static int64_t SharedBytes(int rows) { return FactorMemory(rows - kSlab) * static_cast<int64_t>(sizeof(T)); }

  MT_HD void operator()(const Block& block) const {
    const GridJoint& joint = joints.JointOf(block);
    T* const tile = joints.TileOf(block);
    const int width = joint.width(), rows = joint.rows;
    FactorRows(block, rows, width, width, tile + joint.factors, block.Shared<T>(),
               [&](int first, int j, Column<T>* column) {
                 const bool outer = j >= rows;
                 GatherColumn(joint, tile, first, outer ? joint.outer_segments : joint.shared_segments,
                              outer ? joint.outer_count : joint.shared_count, outer ? j - rows : j, outer, column);
               });
  }
};

// Of a panel, rows [first, first + kPanel) of a joint's factors: what the children have there and earlier panels add, as
// squares of a product, one block of threads each. What lies inside the panel's own columns goes into the joint's
// `panel`, the sums of the other columns of each square behind it.
template <class T>
struct UpdatePanel {
  static constexpr int kSide = kPanelSide;

  TileJoints<T> joints;
  int first;
  int across;  // squares along the panel, most of any joint

  using Square = JointSquare<T, kSide, 2>;

  MT_HD void operator()(const Block& block) const {
    const int parts = kPanel / kSide * across, part = static_cast<int>(block.index() % parts);
    const GridJoint& joint = joints.JointOf(block, parts);
    T* const tile = joints.TileOf(block, parts);
    const int width = joint.width(), rows = joint.rows, after = Least(first + kPanel, rows);
    const int first_row = first + part / across * kSide, first_col = first + part % across * kSide;
    if (first_row >= rows || first_col >= width || first_col + kSide <= first_row) return;
    T* const factors = tile + joint.factors;
    T* const panel = tile + joint.panel;
    Square::ForEach(block, joint, tile, first_row, first_col, rows, first, [&](int row, int col, T* sum) {
      if (col < after) {
        panel[(row - first) * kPanel + col - first] = *sum;
        *sum = 0;
      } else {
        factors[row * width + col] = *sum;
      }
    });
    T* const sums = block.Shared<T>();
    constexpr int kParts = 4, kStride = Square::Square::kStride;
    block.Each(kSide * kParts, [&](int e) {
      T* const row = sums + e / kParts * kStride + e % kParts;
      T sum = row[0];
      for (int c = kParts; c < kSide; c += kParts) sum += row[c];
      row[0] = sum;
    });
    block.Each(kSide, [&](int r) {
      const T* const row = sums + r * kStride;
      panel[kPanel * (kPanel + part % across) + first_row - first + r] = (row[0] + row[1]) + (row[2] + row[3]);
    });
  }
};

// The elimination of a panel in kColumns of the columns right of it, one block of threads each. Every block eliminates
// the panel's own columns, with the sum of all others as one more: that takes less time than a launch more.
template <class T>
struct EliminatePanel {
  TileJoints<T> joints;
  int first;
  int groups;  // of kColumns columns, most of any joint

  static constexpr int kColumns = kFactorThreads - kPanel - 1;
  static constexpr int kParts = 8;
  static constexpr int64_t kSharedBytes =
      (kPanel * kFactorThreads + kPanel * kParts + FactorMemory(kPanel - kSlab)) * static_cast<int64_t>(sizeof(T));

  MT_HD void operator()(const Block& block) const {
    const int part = static_cast<int>(block.index() % groups);
    const GridJoint& joint = joints.JointOf(block, groups);
    T* const tile = joints.TileOf(block, groups);
    const int width = joint.width(), rows = Least(kPanel, joint.rows - first), after = first + rows;
    const int first_col = after + part * kColumns, cols = Least(kColumns, width - first_col);
    if (rows <= 0 || cols <= 0) return;
    const T* panel = tile + joint.panel;
    T* const factors = tile + joint.factors + first * width;
    T* const local = block.Shared<T>();  // the panel, the sum of what is right of it, the columns
    T* const sums = local + kPanel * kFactorThreads;
    const int squares = (width - first + kPanelSide - 1) / kPanelSide, local_width = rows + 1 + cols;
    block.Each(kParts * rows, [&](int e) {
      const int row = e % rows;
      T sum = 0;
      for (int s = rows / kPanelSide + e / rows; s < squares; s += kParts) sum += panel[kPanel * (kPanel + s) + row];
      sums[e] = sum;
    });
    FactorRows(block, rows, local_width, rows + 1, local, sums + kPanel * kParts,
               [&](int slab, int j, Column<T>* column) {
                 for (int r = 0; r < kSlab; ++r) {
                   const int row = slab + r;
                   if (j > rows) {
                     column->x[r] = factors[row * width + first_col + j - rows - 1];
                   } else if (j == rows) {
                     for (int p = 0; p < kParts; ++p) column->x[r] += sums[p * rows + row];
                   } else if (row < j) {
                     column->x[r] = panel[row * kPanel + j];
                   }
                 }
               });
    block.Each(rows * cols, [&](int e) {
      const int row = e / cols, col = e % cols;
      factors[row * width + first_col + col] = local[row * local_width + rows + 1 + col];
    });
    block.Each(part == 0 ? rows * rows : 0, [&](int e) {
      const int row = e / rows, col = e % rows;
      if (col >= row / kSlab * kSlab) factors[row * width + first + col] = local[row * local_width + col];
    });
  }
};

}  // namespace memtorch::cuda

#endif  // MEMTORCH_ENGINE_CUDA_GRID_FACTOR_H_
