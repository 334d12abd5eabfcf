#include "engine/grid/adjoint_kernels.h"

#include "engine/grid/back_substitution.h"
#include "engine/grid/leaf_rows.h"
#include "engine/grid/merge_panels.h"
#include "engine/grid/vector.h"

namespace memtorch {
namespace MT_ISA {
namespace {

// y = w h
template <class T>
MT_HD void MultiplyByH(const Factors<T>& f, const Panels<T>& h, const Panels<T>& y) {
  constexpr int64_t kChunk = 5 * kPanel<T>;  // rows of h that stay in the first-level cache
  Clear(y.data, f.rows * kPanel<T> * f.outer_panels());
  for (int64_t p = 0; p < f.outer_panels(); ++p) {
    for (int64_t first = 0; first < f.ports; first += kChunk) {
      const int64_t last = first + kChunk < f.ports ? first + kChunk : f.ports;
      for (int64_t row = 0; row < f.rows; row += kRows) {
        Tile<T> tile;
        tile.Load(y.panel(p) + row * kPanel<T>, kPanel<T>);
        AddRowProduct(f.outer, row, h.panel(p), first, last, &tile);
        tile.Store(y.panel(p) + row * kPanel<T>, kPanel<T>);
      }
    }
  }
}

// q [rows, rows] = y w^T, symmetric.
template <class T>
MT_HD void MultiplyByW(const Factors<T>& f, const Panels<T>& y, T* q) {
  constexpr int kPart = 2;
  for (int64_t i = 0; i < f.rows; i += kPart) {
    for (int64_t j = i; j < f.rows; j += kPart) {
      Vector<T> sum[kPart][kPart] = {};
      for (int64_t p = 0; p < f.outer_panels(); ++p) {
        const T* left = y.panel(p) + i * kPanel<T>;
        const T* right = f.outer.panel(p) + j * kPanel<T>;
        for (int c = 0; c < kVectors; ++c) {
          for (int a = 0; a < kPart; ++a) {
            for (int b = 0; b < kPart; ++b) {
              sum[a][b] += AsVector(left + a * kPanel<T>)[c] * AsVector(right + b* kPanel<T>)[c];
            }
          }
        }
      }
      for (int a = 0; a < kPart; ++a) {
        for (int b = 0; b < kPart; ++b) {
          q[(i + a) * f.rows + j + b] = q[(j + b) * f.rows + i + a] = Total<T>(sum[a][b]);
        }
      }
    }
  }
}

// to(row ..., col ...) = from [rows, cols], element (i, j) at from.at(i, j) of panels.
template <class T>
MT_HD void CopyPanels(const Panels<T>& from, int64_t from_row, int64_t from_col, int64_t rows, int64_t cols,
                      const Panels<T>& to, int64_t row, int64_t col) {
  for (int64_t j = 0; j < cols;) {
    const T* source = from.at(from_row, from_col + j);
    T* target = to.at(row, col + j);
    const bool whole = (from_col + j) % kLanes<T> == 0 && (col + j) % kLanes<T> == 0 && cols - j >= kLanes<T>;
    if (whole) {
      for (int64_t i = 0; i < rows; ++i) *AsVector(target + i * kPanel<T>) = *AsVector(source + i * kPanel<T>);
      j += kLanes<T>;
    } else {
      for (int64_t i = 0; i < rows; ++i) target[i * kPanel<T>] = source[i * kPanel<T>];
      ++j;
    }
  }
}

// The h of one child.
template <class T>
MT_HD void Scatter(const Unmerge<T>& unmerge, int child, const Panels<T>& h, const Panels<T>& y, const T* q) {
  const MergeNode& node = *unmerge.merge.node;
  const int64_t ports = unmerge.child_ports[child];
  const Panels<T> out{unmerge.child_h[child], ports};
  const int64_t rows = y.rows;
  Clear(out.data, ports * RoundUp(ports, kPanel<T>));
  const Segment* shared = node.shared_segments.data();
  const Segment* shared_end = shared + node.shared_segments.size();
  const Segment* outer = node.outer_segments.data();
  const Segment* outer_end = outer + node.outer_segments.size();
  for (const Segment* s = shared; s != shared_end; ++s) {
    if (s->child != child) continue;
    for (const Segment* t = shared; t != shared_end; ++t) {
      if (t->child != child) continue;
      for (int64_t i = 0; i < s->size; ++i) {
        for (int64_t j = 0; j < t->size; ++j) *out.at(s->from + i, t->from + j) = q[(s->to + i) * rows + t->to + j];
      }
    }
    for (const Segment* t = outer; t != outer_end; ++t) {
      if (t->child != child) continue;
      CopyPanels(y, s->to, t->to, s->size, t->size, out, s->from, t->from);
      for (int64_t i = 0; i < s->size; ++i) {
        T* column = out.at(t->from, s->from + i);
        for (int64_t j = 0; j < t->size; ++j) column[j * kPanel<T>] = *y.at(s->to + i, t->to + j);
      }
    }
  }
  for (const Segment* s = outer; s != outer_end; ++s) {
    if (s->child != child) continue;
    for (const Segment* t = outer; t != outer_end; ++t) {
      if (t->child == child) CopyPanels(h, s->to, t->to, s->size, t->size, out, s->from, t->from);
    }
  }
}

template <class T>
void UnmergeBlocks(const Unmerge<T>& unmerge) {
  const Factors<T> f(unmerge.merge);
  const Panels<T> h{const_cast<T*>(unmerge.h), f.ports};
  const Panels<T> y{unmerge.scratch, f.rows};
  T* q = y.panel(f.outer_panels());
  BackSubstitute(f);
  MultiplyByH(f, h, y);
  MultiplyByW(f, y, q);
  for (int child = 0; child < 2; ++child) {
    if (unmerge.merge.node->child[static_cast<size_t>(child)] >= 0) Scatter(unmerge, child, h, y, q);
  }
}

// The rest is the same in lanes, where every access is a whole vector and blocks may have any size.

// kCount rows of w h, from rows of w and to rows of the product that are `width` apart.
template <int kCount, class T>
MT_HD void RowsTimesH(const Vector<T>* w, const Vector<T>* h, int ports, int width, Vector<T>* product) {
  using V = Vector<T>;
  for (int j = 0; j < ports; j += 2) {
    V sum[kCount][2] = {};
    for (int e = 0; e < ports; ++e) {
      const V left = h[e * ports + j], right = h[e * ports + j + 1];
      for (int k = 0; k < kCount; ++k) {
        sum[k][0] += w[k * width + e] * left;
        sum[k][1] += w[k * width + e] * right;
      }
    }
    for (int k = 0; k < kCount; ++k) {
      product[k * width + j] = sum[k][0];
      product[k * width + j + 1] = sum[k][1];
    }
  }
}

// From h [ports, ports] of a block to the gradient of its cells.
template <class T>
void Descend(const LeafAdjoint<T>& leaf, Shape whole, int row, int col, Vector<T>* kept, const Vector<T>* h,
             Vector<T>* scratch) {
  using V = Vector<T>;
  const int ports = whole.ports();
  if (whole.cells() == 1) {
    const int top = 0, right = whole.right();
    AsVector(leaf.gradient)[row * leaf.leaves.cols + col] =
        h[top * ports + top] + h[right * ports + right] - T(2) * h[top * ports + right];
    return;
  }
  const Halves<T> halves(whole, kept);
  const Joint& joint = halves.joint;
  const int shared = joint.shared, width = halves.rows.width;
  BackSubstitute(joint, halves.rows);
  // wh [shared, shared + ports]: w h w^T, then w h
  V* wh = scratch;
  V* rest = scratch + shared * width;
  const V* all_w = halves.rows.y + shared;
  for (int k = 0; k < shared; k += shared % kStep == 0 ? kStep : 1) {
    if (shared % kStep == 0) {
      RowsTimesH<kStep, T>(all_w + k * width, h, ports, width, wh + k * width + shared);
    } else {
      RowsTimesH<1, T>(all_w + k * width, h, ports, width, wh + k * width + shared);
    }
  }
  for (int k = 0; k < shared; ++k) {
    const V* product = wh + k * width + shared;
    for (int l = 0; l <= k; ++l) {
      const V* other = all_w + l * width;
      V sum = {};
      for (int e = 0; e < ports; ++e) sum += product[e] * other[e];
      wh[k * width + l] = wh[l * width + k] = sum;
    }
  }
  for (int c = 0; c < 2; ++c) {
    const Shape shape = c == 0 ? halves.a : halves.b;
    // The child's ports as columns of wh, the shared ones first.
    int column[4 * 2 * 16];
    for (int k = 0; k < shared; ++k) column[joint.from[c] + k] = k;
    for (int p = 0; p < joint.count; ++p) {
      const Piece& piece = joint.pieces[p];
      for (int j = 0; piece.child == c && j < piece.size; ++j) column[piece.from + j] = shared + piece.to + j;
    }
    V* child_h = rest;
    for (int i = 0; i < shape.ports(); ++i) {
      for (int j = 0; j < shape.ports(); ++j) {
        const int a = column[i], b = column[j];
        child_h[i * shape.ports() + j] = a < shared   ? wh[a * width + b]
                                         : b < shared ? wh[b * width + a]
                                                      : h[(a - shared) * ports + b - shared];
      }
    }
    Descend(leaf, shape, c == 0 ? row : halves.row_b(row), c == 0 ? col : halves.col_b(col),
            c == 0 ? halves.kept_a : halves.kept_b, child_h, rest + Square(shape.ports()));
  }
}

// The h of all lanes side by side.
template <class T>
MT_HD void LoadH(const LeafAdjoint<T>& leaf, int ports, Vector<T>* h) {
  for (int j = 0; j < ports; j += kLanes<T>) {
    for (int i = 0; i < ports; ++i) {
      const int64_t at = (j / kPanel<T> * ports + i) * kPanel<T> + j % kPanel<T>;
      Vector<T> square[kLanes<T>];
      for (int l = 0; l < kLanes<T>; ++l) {
        square[l] = l < leaf.leaves.count ? AsVector(leaf.h[l] + at)[0] : Vector<T>{};
      }
      Transpose<T>(square);
      for (int l = 0; l < kLanes<T> && j + l < ports; ++l) h[i * ports + j + l] = square[l];
    }
  }
}

template <class T>
int64_t LeafScratch(int rows, int cols) {
  const Shape shape{rows, cols};
  return (Square(shape.ports()) + KeptSize(shape) + 2 * WorkingSize(shape)) * kLanes<T>;
}

template <class T>
void LeafGradient(const LeafAdjoint<T>& leaf) {
  const Shape shape{leaf.leaves.rows, leaf.leaves.cols};
  const int ports = shape.ports();
  Vector<T>* h = AsVector(leaf.leaves.scratch);
  Vector<T>* kept = h + Square(ports);
  Vector<T>* working = kept + KeptSize(shape);
  JoinKeeping(leaf.leaves, shape, 0, 0, kept, h, working);
  LoadH(leaf, ports, h);
  Descend(leaf, shape, 0, 0, kept, h, working);
}

}  // namespace

const AdjointKernels<float> kAdjointFloat = {UnmergeBlocks<float>, LeafScratch<float>, LeafGradient<float>};
const AdjointKernels<double> kAdjointDouble = {UnmergeBlocks<double>, LeafScratch<double>, LeafGradient<double>};

}  // namespace MT_ISA
}  // namespace memtorch
