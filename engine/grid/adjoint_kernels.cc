#include "engine/grid/adjoint_kernels.h"

#include "engine/grid/adjoint_leaves.h"
#include "engine/grid/back_substitution.h"
#include "engine/grid/merge_panels.h"
#include "engine/grid/vector.h"

namespace memtorch {
namespace MT_ISA {
namespace {

// Row-major.
template <class T>
struct Matrix {
  T* data;
  int64_t stride;

  MT_HD T* at(int64_t row, int64_t col) const { return data + row * stride + col; }
  MT_HD Matrix from(int64_t row, int64_t col) const { return {at(row, col), stride}; }
};

// What is computed on the way, in the scratch of an Unmerge.
template <class T>
struct Parts {
  Matrix<T> w;             // [rows, ports] the potentials of the shared nodes
  Matrix<T> y;             // [rows, ports] w h
  Matrix<T> y_transposed;  // [ports, rows]
  Matrix<T> q;             // [rows, rows] w h w^T

  MT_HD Parts(const Unmerge<T>& unmerge, const Factors<T>& f) {
    const int64_t wide = AdjointStride<T>(f.outer_panels() * kPanel<T>);
    const int64_t narrow = AdjointStride<T>(f.shared_panels() * kPanel<T>);
    w = {unmerge.scratch, wide};
    y = {w.at(f.rows, 0), wide};
    y_transposed = {y.at(RoundUp(f.rows, kLanes<T>), 0), narrow};
    q = {y_transposed.at(RoundUp(f.ports, kPanel<T>), 0), narrow};
  }
};

// Panels [begin, end) of w.
template <class T>
void SubstituteBack(const Unmerge<T>& unmerge, int64_t begin, int64_t end) {
  const Factors<T> f(unmerge.merge);
  const Parts<T> parts(unmerge, f);
  for (int64_t p = begin; p < end; ++p) BackSubstitute(f, p, parts.w.at(0, p * kPanel<T>), parts.w.stride);
}

template <class T>
MT_HD bool IsZero(const T* data, int size) {
  for (int i = 0; i < size; ++i) {
    if (data[i] != 0) return false;
  }
  return true;
}

// kWidth vectors of columns of out [rows, ...] = a b, with `depth` rows of b. Rows of zeros at the ends of a stretch of
// b are left out: the h of the root and of what lies below it at the border has blocks of them.
template <int kWidth, class T>
MT_HD void MultiplyColumns(const Matrix<T>& a, const Matrix<T>& b, int64_t depth, int64_t rows, const Matrix<T>& out) {
  constexpr int kColumns = kWidth * kLanes<T>;
  constexpr int64_t kDepth = 24576 / (kPanel<T> * sizeof(T));  // rows of b that stay in the first-level cache
  for (int64_t k = 0; k < depth; k += kDepth) {
    int64_t first = k, last = k + kDepth < depth ? k + kDepth : depth;
    while (first < last && IsZero(b.at(first, 0), kColumns)) ++first;
    while (first < last && IsZero(b.at(last - 1, 0), kColumns)) --last;
    if (k > 0 && first == last) continue;
    for (int64_t row = 0; row < rows; row += kRows) {
      Tile<T, kWidth> tile{};
      if (k > 0) tile.Load(out.at(row, 0), out.stride);
      AddRowProduct(a.at(row, first), a.stride, b.at(first, 0), b.stride, last - first, &tile);
      tile.Store(out.at(row, 0), out.stride);
    }
  }
}

// Panel p of the first `columns` columns of out [rows, columns] = a [rows, depth] b [depth, columns].
template <class T>
MT_HD void MultiplyPanel(const Matrix<T>& a, const Matrix<T>& b, int64_t depth, int64_t p, int64_t rows,
                         int64_t columns, const Matrix<T>& out) {
  const int64_t col = p * kPanel<T>;
  const Matrix<T> right = b.from(0, col), product = out.from(0, col);
  const int64_t vectors = (columns - col + kLanes<T> - 1) / kLanes<T>;
  if (vectors == 1) {
    MultiplyColumns<1>(a, right, depth, rows, product);
  } else if (vectors == 2) {
    MultiplyColumns<2>(a, right, depth, rows, product);
  } else if (vectors == 3) {
    MultiplyColumns<3>(a, right, depth, rows, product);
  } else {
    MultiplyColumns<kVectors>(a, right, depth, rows, product);
  }
}

// to [cols, rows] = from [rows, cols]^T, in whole squares of vectors.
template <class T>
MT_HD void TransposeBlock(const Matrix<T>& from, int64_t rows, int64_t cols, const Matrix<T>& to) {
  for (int64_t i = 0; i < rows; i += kLanes<T>) {
    for (int64_t j = 0; j < cols; j += kLanes<T>) {
      Vector<T> square[kLanes<T>];
      for (int l = 0; l < kLanes<T>; ++l) square[l] = *AsVector(from.at(i + l, j));
      Transpose<T>(square);
      for (int l = 0; l < kLanes<T>; ++l) *AsVector(to.at(j + l, i)) = square[l];
    }
  }
}

// Panels [begin, end) of y and its transpose.
template <class T>
void MultiplyH(const Unmerge<T>& unmerge, int64_t begin, int64_t end) {
  const Factors<T> f(unmerge.merge);
  const Parts<T> parts(unmerge, f);
  const Matrix<T> h{const_cast<T*>(unmerge.h), AdjointStride<T>(f.ports)};
  for (int64_t p = begin; p < end; ++p) {
    MultiplyPanel(parts.w, h, f.ports, p, f.rows, f.ports, parts.y);
    const int64_t col = p * kPanel<T>;
    const int64_t cols = f.ports - col < kPanel<T> ? f.ports - col : kPanel<T>;
    for (int64_t row = f.rows; row < RoundUp(f.rows, kLanes<T>); ++row) Clear(parts.y.at(row, col), kPanel<T>);
    TransposeBlock(parts.y.from(0, col), f.rows, cols, parts.y_transposed.from(col, 0));
  }
}

// Panels [begin, end) of the shared columns of q: what lies above the diagonal, and the same mirrored.
template <class T>
void MultiplyW(const Unmerge<T>& unmerge, int64_t begin, int64_t end) {
  const Factors<T> f(unmerge.merge);
  const Parts<T> parts(unmerge, f);
  for (int64_t p = begin; p < end; ++p) {
    const int64_t col = p * kPanel<T>;
    const int64_t last = col + kPanel<T> < f.rows ? col + kPanel<T> : f.rows;
    MultiplyPanel(parts.w, parts.y_transposed, f.ports, p, last, f.rows, parts.q);
    for (int64_t j = col; j < last; j += kLanes<T>) {
      TransposeBlock(parts.q.from(0, j), j, 1, parts.q.from(j, 0));
    }
  }
}

template <int kWidth, class T>
MT_HD void CopyVectors(const Matrix<T>& from, int64_t rows, const Matrix<T>& to) {
  for (int64_t i = 0; i < rows; ++i) {
#pragma GCC unroll 4
    for (int c = 0; c < kWidth; ++c) StoreLoose(LoadLoose(from.at(i, c * kLanes<T>)), to.at(i, c * kLanes<T>));
  }
}

template <class T>
MT_HD void CopyBlock(const Matrix<T>& from, int64_t rows, int64_t cols, const Matrix<T>& to) {
  int64_t j = 0;
  for (; j + 4 * kLanes<T> <= cols; j += 4 * kLanes<T>) CopyVectors<4>(from.from(0, j), rows, to.from(0, j));
  for (; j + kLanes<T> <= cols; j += kLanes<T>) CopyVectors<1>(from.from(0, j), rows, to.from(0, j));
  for (; j < cols; ++j) {
    for (int64_t i = 0; i < rows; ++i) *to.at(i, j) = *from.at(i, j);
  }
}

// The h of one child.
template <class T>
void Scatter(const Unmerge<T>& unmerge, int child) {
  const Factors<T> f(unmerge.merge);
  const Parts<T> parts(unmerge, f);
  const Matrix<T> h{const_cast<T*>(unmerge.h), AdjointStride<T>(f.ports)};
  const int64_t ports = unmerge.child_ports[child];
  const Matrix<T> out{unmerge.child_h[child], AdjointStride<T>(ports)};
  const MergeNode& node = *unmerge.merge.node;
  const Segment* shared = node.shared_segments.data();
  const Segment* shared_end = shared + node.shared_segments.size();
  const Segment* outer = node.outer_segments.data();
  const Segment* outer_end = outer + node.outer_segments.size();
  const auto copy = [&](const Matrix<T>& from, const Segment& s, const Segment& t) {
    CopyBlock(from.from(s.to, t.to), s.size, t.size, out.from(s.from, t.from));
  };
  int64_t known = 0;
  for (const Segment* s = shared; s != shared_end; ++s) known += s->child == child ? s->size : 0;
  for (const Segment* s = outer; s != outer_end; ++s) known += s->child == child ? s->size : 0;
  if (known < ports) Clear(out.data, ports * out.stride);  // some ports lead nowhere
  for (const Segment* s = shared; s != shared_end; ++s) {
    if (s->child != child) continue;
    for (const Segment* t = shared; t != shared_end; ++t) {
      if (t->child == child) copy(parts.q, *s, *t);
    }
    for (const Segment* t = outer; t != outer_end; ++t) {
      if (t->child != child) continue;
      copy(parts.y, *s, *t);
      copy(parts.y_transposed, *t, *s);
    }
  }
  for (const Segment* s = outer; s != outer_end; ++s) {
    if (s->child != child) continue;
    for (const Segment* t = outer; t != outer_end; ++t) {
      if (t->child == child) copy(h, *s, *t);
    }
  }
}

}  // namespace

const AdjointKernels<float> kAdjointFloat = {SubstituteBack<float>, MultiplyH<float>,   MultiplyW<float>,
                                             Scatter<float>,        LeafScratch<float>, LeafGradient<float>};
const AdjointKernels<double> kAdjointDouble = {SubstituteBack<double>, MultiplyH<double>,   MultiplyW<double>,
                                               Scatter<double>,        LeafScratch<double>, LeafGradient<double>};

}  // namespace MT_ISA
}  // namespace memtorch
