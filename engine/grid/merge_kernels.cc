#include "engine/grid/merge_kernels.h"

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
  Clear(f.shared.data, f.rows * kPanel<T> * f.shared_panels());
  const Segment* begin = merge.node->shared_segments.data();
  const Segment* end = begin + merge.node->shared_segments.size();
  for (const Segment* s = begin; s != end; ++s) {
    const int64_t stride = merge.child_stride[s->child];
    const T* rows = merge.child[s->child] + s->from * stride;
    for (const Segment* t = begin; t != end; ++t) {
      if (t->child == s->child) AddBlock(rows + t->from, stride, s->size, t->size, f.shared, s->to, t->to);
    }
  }
}

// Outer columns of panels [first, last).
template <class T>
void GatherOuter(const Merge<T>& merge, int64_t first, int64_t last) {
  const Factors<T> f(merge);
  Clear(f.outer.panel(first), f.rows * kPanel<T> * (last - first));
  const MergeNode& node = *merge.node;
  const Segment* shared = node.shared_segments.data();
  const Segment* outer = node.outer_segments.data();
  for (const Segment* s = shared; s != shared + node.shared_segments.size(); ++s) {
    const int64_t stride = merge.child_stride[s->child];
    const T* rows = merge.child[s->child] + s->from * stride;
    for (const Segment* t = outer; t != outer + node.outer_segments.size(); ++t) {
      const int64_t begin = t->to > first * kPanel<T> ? t->to : first * kPanel<T>;
      const int64_t end = t->to + t->size < last * kPanel<T> ? t->to + t->size : last * kPanel<T>;
      if (t->child != s->child || begin >= end) continue;
      AddBlock(rows + t->from + begin - t->to, stride, s->size, end - begin, f.outer, s->to, begin);
    }
  }
}

template <class T>
MT_HD void SumOuter(const Factors<T>& f) {
  for (int64_t row = 0; row < f.rows; row += kRows) {
    Vector<T> sum[kRows] = {};
    for (int64_t p = 0; p < f.outer_panels(); ++p) {
      const T* block = f.outer.panel(p) + row * kPanel<T>;
      for (int r = 0; r < kRows; ++r) {
        for (int c = 0; c < kVectors; ++c) sum[r] += AsVector(block + r * kPanel<T>)[c];
      }
    }
    for (int r = 0; r < kRows; ++r) f.sums[row + r] = Total<T>(sum[r]);
  }
}

// The elimination inside the rows from `row` on. What lies beyond them counts only by its sum, which is updated like a
// column. So are the sums of what lies right of each column, which are the pivots.
template <class T>
MT_HD void FactorBlock(const Factors<T>& f, int64_t row, BlockFactor<T>* block) {
  T n[kRows][kRows], right[kRows][kRows], beyond[kRows];
  Vector<T> sum_beyond[kRows] = {};
  for (int64_t j = (row + kRows) / kLanes<T> * kLanes<T>; j < f.rows; j += kLanes<T>) {
    const T* column = f.shared.at(row, j);
    const auto counts = From<T>(row + kRows - j);
    for (int r = 0; r < kRows; ++r) {
      const Vector<T> value = AsVector(column + r * kPanel<T>)[0];
      sum_beyond[r] += counts ? value : Vector<T>{};
    }
  }
  for (int r = 0; r < kRows; ++r) beyond[r] = f.sums[row + r] + Total<T>(sum_beyond[r]);
  for (int r = 0; r < kRows; ++r) {
    T sum = beyond[r];
    const T* from = f.shared.at(row + r, row);
    for (int j = kRows - 1; j >= 0; --j) {
      n[r][j] = from[j];
      right[r][j] = sum;
      sum += from[j];
    }
  }
  T inverse[kRows];
  for (int k = 0; k < kRows; ++k) {
    const T pivot = right[k][k];
    inverse[k] = pivot > kNothing<T> ? 1 / pivot : 0;
    for (int r = k + 1; r < kRows; ++r) {
      const T ratio = n[k][r] * inverse[k];
      block->ratio[k][r] = ratio;
      for (int j = 0; j < kRows; ++j) n[r][j] += ratio * n[k][j];
      for (int j = 0; j < kRows; ++j) right[r][j] += ratio * right[k][j];
      f.sums[row + r] += ratio * f.sums[row + k];
    }
  }
  for (int k = 0; k < kRows; ++k) {
    block->root[k] = static_cast<T>(__builtin_sqrt(inverse[k]));
    f.sums[row + k] *= block->root[k];
  }
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
    const T* left = f.shared.at(0, row);
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
    for (int64_t k = 0; k < row; ++k) {
      for (int r = 0; r < kRows; ++r) f.sums[row + r] += left[k * kPanel<T> + r] * f.sums[k];
    }
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
  SumOuter(f);
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
