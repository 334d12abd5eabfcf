#include "engine/grid/merge_kernels.h"

#include "engine/grid/merge_block.h"
#include "engine/grid/merge_panels.h"
#include "engine/grid/vector.h"

namespace memtorch {
namespace MT_ISA {
namespace {

// panels(row ..., to ...) += from [rows, size]
template <class T>
MT_HD void AddBlock(const T* from, int64_t stride, int64_t rows, int64_t size, const Panels<T>& panels, int64_t row,
                    int64_t to) {
  for (int64_t j = 0; j < size;) {
    T* out = panels.at(row, to + j);
    if ((to + j) % kLanes<T> == 0 && size - j >= kLanes<T>) {
      for (int64_t k = 0; k < rows; ++k) *AsVector(out + k * kPanel<T>) += LoadLoose(from + k * stride + j);
      j += kLanes<T>;
    } else {
      for (int64_t k = 0; k < rows; ++k) out[k * kPanel<T>] += from[k * stride + j];
      ++j;
    }
  }
}

// The children's rows of what is shared: columns of what is shared.
template <class T>
MT_HD void GatherShared(const Merge<T>& merge, const Factors<T>& f) {
  const Segment* begin = merge.node->shared_segments.data();
  const Segment* end = begin + merge.node->shared_segments.size();
  if (merge.node->child[1] >= 0 && f.rows % kLanes<T> == 0 && f.rows == merge.node->shared) {
    const int64_t stride_a = merge.child_stride[0], stride_b = merge.child_stride[1];
    const T* a = merge.child[0] + begin[0].from * (stride_a + 1);
    const T* b = merge.child[1] + begin[1].from * (stride_b + 1);
    for (int64_t j = 0; j < f.rows; j += kLanes<T>) {
      for (int64_t row = 0; row < j + kLanes<T>; ++row) {  // what is left of the diagonal is not used
        *AsVector(f.shared.at(row, j)) = LoadLoose(a + row * stride_a + j) + LoadLoose(b + row * stride_b + j);
      }
    }
    return;
  }
  Clear(f.shared.data, f.rows * kPanel<T> * f.shared_panels());
  for (const Segment* s = begin; s != end; ++s) {
    const int64_t stride = merge.child_stride[s->child];
    const T* rows = merge.child[s->child] + s->from * stride;
    for (const Segment* t = begin; t != end; ++t) {
      if (t->child == s->child) AddBlock(rows + t->from, stride, s->size, t->size, f.shared, s->to, t->to);
    }
  }
}

// The child's row that becomes row `row` of the factors, if so do the kRows - 1 after it; none if they lie apart.
template <class T>
MT_HD const T* RowsOf(const Merge<T>& merge, int child, int64_t row) {
  for (const Segment& s : merge.node->shared_segments) {
    if (s.child != child || row < s.to || row + kRows > s.to + s.size) continue;
    return merge.child[child] + (s.from + row - s.to) * merge.child_stride[child];
  }
  return nullptr;
}

// The outer columns of kRows rows, where each vector of them comes from one place; their sums into sum [kRows].
template <class T>
MT_HD void GatherVectors(const Merge<T>& merge, const Factors<T>& f, const T* const* rows, int64_t row,
                         Vector<T>* sum) {
  const Origin* origins = merge.node->origins.data();
  const int64_t vectors = static_cast<int64_t>(merge.node->origins.size());
  for (int64_t v = 0; v < f.outer_panels() * kVectors; ++v) {
    Vector<T>* to = AsVector(f.outer.at(row, v * kLanes<T>));
    const bool any = v < vectors && origins[v].child >= 0;
    const T* from = any ? rows[origins[v].child] + origins[v].from : nullptr;
    const int64_t stride = any ? merge.child_stride[origins[v].child] : 0;
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const Vector<T> value = any ? LoadLoose(from + r * stride) : Vector<T>{};
      sum[r] += value;
      to[r * kVectors] = value;
    }
  }
}

// The same in any case, element by element.
template <class T>
MT_HD void GatherElements(const Merge<T>& merge, const Factors<T>& f, int64_t row, Vector<T>* sum) {
  for (int64_t p = 0; p < f.outer_panels(); ++p) Clear(f.outer.panel(p) + row * kPanel<T>, kRows * kPanel<T>);
  for (const Segment& s : merge.node->shared_segments) {
    const int64_t begin = s.to > row ? s.to : row;
    const int64_t end = s.to + s.size < row + kRows ? s.to + s.size : row + kRows;
    if (begin >= end) continue;
    const int64_t stride = merge.child_stride[s.child];
    const T* from = merge.child[s.child] + (s.from + begin - s.to) * stride;
    for (const Segment& t : merge.node->outer_segments) {
      if (t.child == s.child) AddBlock(from + t.from, stride, end - begin, t.size, f.outer, begin, t.to);
    }
  }
  for (int64_t p = 0; p < f.outer_panels(); ++p) {
    const T* block = f.outer.panel(p) + row * kPanel<T>;
    for (int r = 0; r < kRows; ++r) {
      for (int c = 0; c < kVectors; ++c) sum[r] += AsVector(block + r * kPanel<T>)[c];
    }
  }
}

// Rows [begin, end) of the outer columns, and their sums.
template <class T>
void GatherOuter(const Merge<T>& merge, int64_t begin, int64_t end) {
  const Factors<T> f(merge);
  const bool two = merge.node->child[1] >= 0;
  for (int64_t row = begin; row < end; row += kRows) {
    const T* rows[2] = {RowsOf(merge, 0, row), two ? RowsOf(merge, 1, row) : nullptr};
    Vector<T> sum[kRows] = {};
    if (!merge.node->origins.empty() && rows[0] != nullptr && (rows[1] != nullptr || !two)) {
      GatherVectors(merge, f, rows, row, sum);
    } else {
      GatherElements(merge, f, row, sum);
    }
    *AsColumn(f.sums + row) = Totals<T>(sum);
  }
}

// The elimination inside the rows from `row` on. What lies beyond them counts only by its sum, which is updated like a
// column. So are the sums of what lies right of each column, which are the pivots.
template <class T>
MT_HD void FactorBlock(const Factors<T>& f, int64_t row, BlockFactor<T>* block) {
  Vector<T> beyond[kRows] = {};
  for (int64_t j = (row + kRows) / kLanes<T> * kLanes<T>; j < f.rows; j += kLanes<T>) {
    const T* column = f.shared.at(row, j);
    const auto counts = From<T>(row + kRows - j);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const Vector<T> value = AsVector(column + r * kPanel<T>)[0];
      beyond[r] += counts ? value : Vector<T>{};
    }
  }
  EliminatedBlock<T> e;
  Column<T> columns[kRows];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) e.n[r] = columns[r] = *AsColumn(f.shared.at(row + r, row));
  Transpose<T, kRows>(columns);
  e.sums = *AsColumn(f.sums + row);
  e.inverse = Column<T>{};
  e.right[kRows - 1] = e.sums + Totals<T>(beyond);
#pragma GCC unroll 8
  for (int j = kRows - 1; j > 0; --j) e.right[j - 1] = e.right[j] + columns[j];
  EliminateFrom<0, T>(&e, block);
  Column<T> root;
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) root[r] = static_cast<T>(__builtin_sqrt(e.inverse[r]));
  *AsColumn(block->root) = root;
  *AsColumn(f.sums + row) = e.sums * root;
}

// What rows before `row` add to the sums of the rows from there on.
template <class T>
MT_HD void AddEarlierSums(const Factors<T>& f, int64_t row) {
  constexpr int kParts = kRows < 4 ? kRows : 4;  // chains of additions that run beside each other
  Column<T> sum[kParts] = {};
  const T* left = f.shared.at(0, row);
  for (int64_t k = 0; k < row; k += kParts) {
#pragma GCC unroll 4
    for (int c = 0; c < kParts; ++c) sum[c] += *AsColumn(left + (k + c) * kPanel<T>) * f.sums[k + c];
  }
  for (int c = 1; c < kParts; ++c) sum[0] += sum[c];
  *AsColumn(f.sums + row) += sum[0];
}

// What rows before `row` add to kWidth vectors of the shared columns from j on.
template <int kWidth, class T>
MT_HD void AddEarlierRows(const Factors<T>& f, int64_t row, int64_t j) {
  T* column = f.shared.at(0, j);
  Tile<T, kWidth> tile;
  tile.Load(column + row * kPanel<T>, kPanel<T>);
  tile.AddProduct(f.shared.at(0, row), column, row);
  tile.Store(column + row * kPanel<T>, kPanel<T>);
}

// The elimination among what is shared; the outer columns take part by their sums.
template <class T>
MT_HD void FactorShared(const Factors<T>& f) {
  for (int64_t row = 0; row < f.rows; row += kRows) {
    BlockFactor<T>* block = f.blocks + row / kRows;
    // Columns left of the block and those of the block itself become arbitrary; nobody reads them.
    const int64_t first = row / kLanes<T> * kLanes<T>;
    for (int64_t j = first; row > 0 && j < f.rows;) {
      if (j % kPanel<T> == 0 && f.rows - j >= kPanel<T>) {
        AddEarlierRows<kVectors>(f, row, j);
        j += kPanel<T>;
      } else {
        AddEarlierRows<1>(f, row, j);
        j += kLanes<T>;
      }
    }
    AddEarlierSums(f, row);
    FactorBlock(f, row, block);
    for (int64_t j = first; j < f.rows; j += kLanes<T>) {
      T* rows = f.shared.at(row, j);
      Tile<T, 1> tile;
      tile.Load(rows, kPanel<T>);
      tile.Apply(*block);
      tile.Store(rows, kPanel<T>);
    }
  }
}

// The elimination in the outer columns of panels [begin, end).
template <class T>
void FactorOuter(const Merge<T>& merge, int64_t begin, int64_t end) {
  const Factors<T> f(merge);
  for (int64_t p = begin; p < end; ++p) {
    T* panel = f.outer.panel(p);
    for (int64_t row = 0; row < f.rows; row += kRows) {
      Tile<T> tile;
      tile.Load(panel + row * kPanel<T>, kPanel<T>);
      tile.AddProduct(f.shared.at(0, row), panel, row);
      tile.Apply(f.blocks[row / kRows]);
      tile.Store(panel + row * kPanel<T>, kPanel<T>);
    }
  }
}

template <class T>
void Factor(const Merge<T>& merge) {
  const Factors<T> f(merge);
  GatherShared(merge, f);
  FactorShared(f);
}

// Row `row` of the result from column `row` on: what the children hold.
template <class T>
MT_HD void CopyRow(const Merge<T>& merge, int64_t row) {
  const Segment* own = merge.node->outer_segments.data();
  const Segment* end = own + merge.node->outer_segments.size();
  T* out = merge.out + row * merge.out_stride;
  while (own != end && own->to + own->size <= row) ++own;
  if (own == end) {  // beyond the last port
    Clear(out, merge.out_stride);
    return;
  }
  const T* from = merge.child[own->child] + (own->from + row - own->to) * merge.child_stride[own->child];
  for (const Segment* s = own; s != end; ++s) {
    int64_t j = s == own ? row - s->to : 0;
    if (s->child == own->child) {
      for (; j < s->size; ++j) out[s->to + j] = from[s->from + j];
    } else {
      Clear(out + s->to, s->size);
    }
  }
  for (int64_t j = merge.node->ports; j < RoundUp(merge.node->ports, kPanel<T>); ++j) out[j] = 0;
}

// Rows [row, row + kRows) and the vectors from `first` on of what the children hold, where each comes from one place.
template <class T, int kWidth>
MT_HD void LoadOrigins(const Merge<T>& merge, int64_t row, int64_t first, Tile<T, kWidth>* tile) {
  const Origin* origins = merge.node->origins.data();
  const int64_t vectors = static_cast<int64_t>(merge.node->origins.size());
  const int64_t own = row / kLanes<T>;
  const int child = own < vectors ? origins[own].child : -1;
  const int64_t stride = child < 0 ? 0 : merge.child_stride[child];
  const T* from = child < 0 ? nullptr : merge.child[child] + (origins[own].from + row % kLanes<T>)*stride;
#pragma GCC unroll 4
  for (int c = 0; c < kWidth; ++c) {
    const int64_t v = first + c;
    const bool same = child >= 0 && v < vectors && origins[v].child == child;
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      tile->sum[r][c] = same ? LoadLoose(from + r * stride + origins[v].from) : Vector<T>{};
    }
  }
}

// Rows of factors that are multiplied at a time: a panel of them stays in the first-level cache.
template <class T>
constexpr int64_t kDepth = 24576 / (kPanel<T> * sizeof(T));

// A part of a product: kRows rows from `row` on, factors [k, k + depth), and the last kWidth vectors of panel p, into
// out, where what is there already is added if k > 0 or not `direct`.
template <class T, int kWidth>
MT_HD void MultiplyTile(const Merge<T>& merge, const Factors<T>& f, int64_t p, int64_t row, int64_t k, int64_t depth,
                        bool direct, T* out) {
  constexpr int kSkipped = kVectors - kWidth;
  T* to = out + kSkipped * kLanes<T>;
  Tile<T, kWidth> tile;
  if (direct && k == 0) {
    LoadOrigins(merge, row, p * kVectors + kSkipped, &tile);
  } else {
    tile.Load(to, merge.out_stride);
  }
  tile.AddProduct(f.outer.at(k, row), f.outer.panel(p) + k * kPanel<T> + kSkipped * kLanes<T>, depth);
  tile.Store(to, merge.out_stride);
}

// Rows [begin, end) of panel p of a product into out [rows, panel]; with `diagonal` only vectors that reach above the
// diagonal.
template <class T>
MT_HD void Multiply(const Merge<T>& merge, const Factors<T>& f, int64_t p, int64_t begin, int64_t end, bool direct,
                    bool diagonal, T* out) {
  int64_t k = 0;
  do {
    const int64_t depth = f.rows - k < kDepth<T> ? f.rows - k : kDepth<T>;
    for (int64_t row = begin; row < end; row += kRows) {
      const int64_t below = diagonal && row > p * kPanel<T> ? (row - p * kPanel<T>) / kLanes<T> : 0;
      T* to = out + row * merge.out_stride;
      if (below == 0) {
        MultiplyTile<T, kVectors>(merge, f, p, row, k, depth, direct, to);
      } else if (below == 1) {
        MultiplyTile<T, kVectors - 1>(merge, f, p, row, k, depth, direct, to);
      } else {
        MultiplyTile<T, kVectors - 2>(merge, f, p, row, k, depth, direct, to);
      }
    }
    k += depth;
  } while (k < f.rows);
}

template <class T>
void Update(const Merge<T>& merge, int64_t begin, int64_t end) {
  const Factors<T> f(merge);
  const bool direct = !merge.node->origins.empty();
  for (int64_t row = begin; !direct && row < end; ++row) CopyRow(merge, row);
  for (int64_t p = begin / kPanel<T>; p < f.outer_panels(); ++p) {
    const int64_t last = (p + 1) * kPanel<T> < end ? (p + 1) * kPanel<T> : end;  // rows below are below the diagonal
    Multiply(merge, f, p, begin, last, direct, true, merge.out + p * kPanel<T>);
  }
}

// Row `driver` of the result: what the children hold between it and the senses.
template <class T>
MT_HD void CopyRootRow(const Merge<T>& merge, int64_t first_sense, int64_t driver) {
  const Segment* begin = merge.node->outer_segments.data();
  const Segment* end = begin + merge.node->outer_segments.size();
  T* out = merge.out + driver * merge.out_stride;
  Clear(out, merge.out_stride);
  for (const Segment* own = begin; own != end; ++own) {
    if (driver < own->to || driver >= own->to + own->size) continue;
    const T* from = merge.child[own->child] + (own->from + driver - own->to) * merge.child_stride[own->child];
    for (const Segment* s = begin; s != end; ++s) {
      if (s->child != own->child || s->to < first_sense) continue;
      for (int64_t j = 0; j < s->size; ++j) out[s->to - first_sense + j] += from[s->from + j];
    }
  }
}

template <class T>
void UpdateRoot(const Merge<T>& merge, int64_t first_sense, int64_t begin, int64_t end) {
  const Factors<T> f(merge);
  const int64_t first_panel = first_sense / kPanel<T>;
  for (int64_t row = begin; row < end; ++row) CopyRootRow(merge, first_sense, row);
  for (int64_t p = first_panel; p < f.outer_panels(); ++p) {
    Multiply(merge, f, p, begin, end, false, false, merge.out + (p - first_panel) * kPanel<T>);
  }
}

}  // namespace

const MergeKernels<float> kMergeFloat = {
    kPanel<float>,      kRows,         kLanes<float>,    GatherOuter<float>, Factor<float>,
    FactorOuter<float>, Update<float>, UpdateRoot<float>};
const MergeKernels<double> kMergeDouble = {
    kPanel<double>,      kRows,          kLanes<double>,    GatherOuter<double>, Factor<double>,
    FactorOuter<double>, Update<double>, UpdateRoot<double>};

}  // namespace MT_ISA
}  // namespace memtorch
