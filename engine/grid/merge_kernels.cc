#include "engine/grid/merge_kernels.h"

#include "engine/grid/vector.h"

namespace memtorch {
namespace MT_ISA {
namespace {

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

// The factors of a merge: x of the shared columns and of the outer ones. Rows beyond `shared` are zero.
template <class T>
struct Factors {
  int64_t rows, ports;
  Panels<T> shared, outer;

  MT_HD explicit Factors(const Merge<T>& merge)
      : rows(RoundUp(merge.node->shared, kRows)),
        ports(merge.node->ports),
        shared{merge.factors, rows},
        outer{merge.factors + rows * RoundUp(rows, kPanel<T>), rows} {}
  MT_HD int64_t shared_panels() const { return (rows + kPanel<T> - 1) / kPanel<T>; }
  MT_HD int64_t outer_panels() const { return (ports + kPanel<T> - 1) / kPanel<T>; }
};

// out [kRows, kPanel] += a^T b, where a [depth, kRows] and b [depth, kPanel] are parts of panels.
template <class T>
MT_HD void Tile(const T* a, const T* b, int64_t depth, T* out, int64_t out_stride) {
  using V = Vector<T>;
  V sum[kRows][kVectors];
  for (int r = 0; r < kRows; ++r) {
    for (int c = 0; c < kVectors; ++c) sum[r][c] = AsVector(out + r * out_stride)[c];
  }
  for (int64_t k = 0; k < depth; ++k) {
    V right[kVectors];
    for (int c = 0; c < kVectors; ++c) right[c] = AsVector(b + k * kPanel<T>)[c];
    for (int r = 0; r < kRows; ++r) {
      const V left = a[k * kPanel<T> + r] - V{};
      for (int c = 0; c < kVectors; ++c) sum[r][c] += left * right[c];
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int c = 0; c < kVectors; ++c) AsVector(out + r * out_stride)[c] = sum[r][c];
  }
}

template <class T>
MT_HD void Clear(T* data, int64_t size) {
  for (int64_t i = 0; i < size; ++i) data[i] = 0;
}

// panels(row, to ...) += from[0, size)
template <class T>
MT_HD void AddRow(const T* from, int64_t size, const Panels<T>& panels, int64_t row, int64_t to) {
  while (size > 0) {
    T* out = panels.at(row, to);
    const int64_t room = kPanel<T> - to % kPanel<T>;
    const int64_t count = size < room ? size : room;
    for (int64_t j = 0; j < count; ++j) out[j] += from[j];
    from += count;
    to += count;
    size -= count;
  }
}

// The children's rows of what is shared.
template <class T>
MT_HD void Gather(const Merge<T>& merge, const Factors<T>& f) {
  Clear(f.shared.data, f.rows * kPanel<T> * (f.shared_panels() + f.outer_panels()));
  for (const Segment *s = merge.node->shared_segments.data(), *end = s + merge.node->shared_segments.size(); s != end;
       ++s) {
    for (int64_t k = 0; k < s->size; ++k) {
      const T* row = merge.child[s->child] + (s->from + k) * merge.child_stride[s->child];
      for (const Segment* t = merge.node->shared_segments.data(); t != end; ++t) {
        if (t->child == s->child) AddRow(row + t->from, t->size, f.shared, s->to + k, t->to);
      }
      const Segment* outer = merge.node->outer_segments.data();
      for (const Segment* t = outer; t != outer + merge.node->outer_segments.size(); ++t) {
        if (t->child == s->child) AddRow(row + t->from, t->size, f.outer, s->to + k, t->to);
      }
    }
  }
}

// Rows [row, row + kRows) of the factors: what the rows before them add.
template <class T>
MT_HD void AddEarlierRows(const Factors<T>& f, int64_t row) {
  if (row == 0) return;
  const T* left = f.shared.at(0, row);
  for (int64_t p = row / kPanel<T>; p < f.shared_panels(); ++p) {
    Tile(left, f.shared.panel(p), row, f.shared.panel(p) + row * kPanel<T>, kPanel<T>);
  }
  for (int64_t p = 0; p < f.outer_panels(); ++p) {
    Tile(left, f.outer.panel(p), row, f.outer.panel(p) + row * kPanel<T>, kPanel<T>);
  }
}

// sums[r] = what row `row + r` is connected to beyond the columns of its own block.
template <class T>
MT_HD void SumBeyond(const Factors<T>& f, int64_t row, T* sums) {
  using V = Vector<T>;
  V sum[kRows] = {};
  for (int64_t p = 0; p < f.outer_panels(); ++p) {
    const T* block = f.outer.panel(p) + row * kPanel<T>;
    for (int r = 0; r < kRows; ++r) {
      for (int c = 0; c < kVectors; ++c) sum[r] += AsVector(block + r * kPanel<T>)[c];
    }
  }
  for (int r = 0; r < kRows; ++r) {
    T total = 0;
    for (int l = 0; l < kLanes<T>; ++l) total += sum[r][l];
    for (int64_t j = row + kRows; j < f.rows; ++j) total += *f.shared.at(row + r, j);
    sums[r] = total;
  }
}

// The elimination inside a block of kRows rows. The columns beyond it count only by their sum, which is updated like a
// column. So are the sums of what lies right of each column, which are the pivots.
template <class T>
struct BlockFactor {
  T ratio[kRows][kRows];  // ratio[q][k], k > q: what of row q goes into row k
  T root[kRows];          // 1 / sqrt(pivot)
};

template <class T>
MT_HD void FactorBlock(const Factors<T>& f, int64_t row, BlockFactor<T>* block) {
  T n[kRows][kRows], right[kRows][kRows], beyond[kRows];
  SumBeyond(f, row, beyond);
  for (int r = 0; r < kRows; ++r) {
    const T* from = f.shared.at(row + r, row);
    T sum = beyond[r];
    for (int j = kRows - 1; j >= 0; --j) {
      n[r][j] = from[j];
      right[r][j] = sum;
      sum += from[j];
    }
  }
  for (int k = 0; k < kRows; ++k) {
    const T pivot = right[k][k];
    const T inverse = pivot > kNothing<T> ? 1 / pivot : 0;
    block->root[k] = inverse;
    for (int r = k + 1; r < kRows; ++r) {
      const T ratio = n[k][r] * inverse;
      block->ratio[k][r] = ratio;
      for (int j = 0; j < kRows; ++j) n[r][j] += ratio * n[k][j];
      for (int j = 0; j < kRows; ++j) right[r][j] += ratio * right[k][j];
    }
  }
  for (int k = 0; k < kRows; ++k) block->root[k] = static_cast<T>(__builtin_sqrt(block->root[k]));
}

// The elimination of the block's rows in one panel.
template <class T>
MT_HD void ApplyBlock(const BlockFactor<T>& block, T* rows) {
  using V = Vector<T>;
  for (int c = 0; c < kVectors; ++c) {
    V x[kRows];
    for (int k = 0; k < kRows; ++k) {
      x[k] = AsVector(rows + k * kPanel<T>)[c];
      for (int q = 0; q < k; ++q) x[k] += block.ratio[q][k] * x[q];
    }
    for (int k = 0; k < kRows; ++k) AsVector(rows + k * kPanel<T>)[c] = x[k] * block.root[k];
  }
}

template <class T>
void Factor(const Merge<T>& merge) {
  const Factors<T> f(merge);
  Gather(merge, f);
  for (int64_t row = 0; row < f.rows; row += kRows) {
    AddEarlierRows(f, row);
    BlockFactor<T> block;
    FactorBlock(f, row, &block);
    // Columns of the block itself and left of it become arbitrary; nobody reads them.
    for (int64_t p = row / kPanel<T>; p < f.shared_panels(); ++p) {
      ApplyBlock(block, f.shared.panel(p) + row * kPanel<T>);
    }
    for (int64_t p = 0; p < f.outer_panels(); ++p) ApplyBlock(block, f.outer.panel(p) + row * kPanel<T>);
  }
}

// Row `row` of the result from column `row` on: what the children hold.
template <class T>
MT_HD void CopyRow(const Merge<T>& merge, int64_t row) {
  const Segment* begin = merge.node->outer_segments.data();
  const Segment* end = begin + merge.node->outer_segments.size();
  T* out = merge.out + row * merge.out_stride;
  const Segment* own = begin;
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

template <class T>
void Update(const Merge<T>& merge, int64_t begin, int64_t end) {
  const Factors<T> f(merge);
  for (int64_t row = begin; row < end; row += kRows) {
    for (int r = 0; r < kRows; ++r) CopyRow(merge, row + r);
    const T* left = f.outer.at(0, row);
    for (int64_t p = row / kPanel<T>; p < f.outer_panels(); ++p) {
      Tile(left, f.outer.panel(p), f.rows, merge.out + row * merge.out_stride + p * kPanel<T>, merge.out_stride);
    }
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
  for (int64_t row = begin; row < end; row += kRows) {
    for (int r = 0; r < kRows; ++r) CopyRootRow(merge, first_sense, row + r);
    const T* left = f.outer.at(0, row);
    for (int64_t p = first_panel; p < f.outer_panels(); ++p) {
      T* out = merge.out + row * merge.out_stride + (p - first_panel) * kPanel<T>;
      Tile(left, f.outer.panel(p), f.rows, out, merge.out_stride);
    }
  }
}

}  // namespace

const MergeKernels<float> kMergeFloat = {kPanel<float>, kRows, Factor<float>, Update<float>, UpdateRoot<float>};
const MergeKernels<double> kMergeDouble = {kPanel<double>, kRows, Factor<double>, Update<double>, UpdateRoot<double>};

}  // namespace MT_ISA
}  // namespace memtorch
