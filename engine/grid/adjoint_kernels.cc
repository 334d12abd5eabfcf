#include "engine/grid/adjoint_kernels.h"

#include "engine/grid/leaf_blocks.h"
#include "engine/grid/merge_panels.h"
#include "engine/grid/vector.h"

namespace memtorch {
namespace MT_ISA {
namespace {

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

// Vectors that hold the rows of a joint, and those of all joints of a block: its own, then its halves'.
int64_t RowsSize(Shape whole, Shape a) {
  const int64_t shared = a.cols != whole.cols ? whole.rows : whole.cols;
  return 2 * shared * (shared + whole.ports());
}
int64_t KeptSize(Shape whole) {
  if (whole.cells() == 1) return 0;
  Shape a, b;
  Split(whole, &a, &b);
  return RowsSize(whole, a) + KeptSize(a) + KeptSize(b);
}

template <class T>
struct Halves {
  Shape a, b;
  bool across;
  Joint joint;
  Rows<T> rows;
  Vector<T>*kept_a, *kept_b;

  Halves(Shape whole, Vector<T>* kept) {
    Split(whole, &a, &b);
    across = a.cols != whole.cols;
    joint = across ? JoinAcross(a, b) : JoinDown(a, b);
    const int64_t size = RowsSize(whole, a);
    rows = {kept, kept + size / 2, joint.shared + whole.ports()};
    kept_a = kept + size;
    kept_b = kept_a + KeptSize(a);
  }
  int row_b(int row) const { return across ? row : row + a.rows; }
  int col_b(int col) const { return across ? col + a.cols : col; }
};

template <class T>
MT_HD void Eliminate(const Joint& joint, const Rows<T>& rows) {
  using V = Vector<T>;
  for (int k = 0; k < joint.shared; ++k) {
    const V* x = rows.x + k * rows.width;
    V* y = rows.y + k * rows.width;
    V pivot = {};
    for (int j = k + 1; j < rows.width; ++j) pivot += x[j];
    const V inverse = Inverse<T>(pivot);
    for (int j = k + 1; j < rows.width; ++j) y[j] = x[j] * inverse;
    for (int q = k + 1; q < joint.shared; ++q) {
      V* other = rows.x + q * rows.width;
      for (int j = q + 1; j < rows.width; ++j) other[j] += y[q] * x[j];
    }
  }
}

// The matrix n of a block, keeping the rows of all joints.
template <class T>
void Join(const Leaves<T>& leaves, Shape whole, int row, int col, Vector<T>* kept, Vector<T>* n, Vector<T>* scratch) {
  using V = Vector<T>;
  if (whole.cells() == 1) {
    SetCell(leaves, row, col, n);
    return;
  }
  const Halves<T> halves(whole, kept);
  const Block<T> children[2] = {{scratch, halves.a}, {scratch + Square(halves.a.ports()), halves.b}};
  V* rest = children[1].n + Square(halves.b.ports());
  Join(leaves, halves.a, row, col, halves.kept_a, children[0].n, rest);
  Join(leaves, halves.b, halves.row_b(row), halves.col_b(col), halves.kept_b, children[1].n, rest);
  if (whole.cells() > kStep * kStep) return JoinWith(children, halves.joint, halves.rows, n);
  Gather(children, halves.joint, halves.rows);
  Eliminate(halves.joint, halves.rows);
  const int ports = whole.ports(), shared = halves.joint.shared, width = halves.rows.width;
  for (int p = 0; p < halves.joint.count; ++p) {
    for (int q = p; q < halves.joint.count; ++q) {
      const Piece &s = halves.joint.pieces[p], &t = halves.joint.pieces[q];
      for (int i = 0; i < s.size; ++i) {
        for (int j = p == q ? i + 1 : 0; j < t.size; ++j) {
          V sum = s.child == t.child ? *children[s.child].at(s.from + i, t.from + j) : V{};
          const V* x = halves.rows.x + shared + s.to + i;
          const V* y = halves.rows.y + shared + t.to + j;
          for (int k = 0; k < shared; ++k) sum += x[k * width] * y[k * width];
          n[(s.to + i) * ports + t.to + j] = sum;
        }
      }
    }
  }
}

// w in place of the outer columns of the scaled rows.
template <class T>
MT_HD void BackSubstitute(const Joint& joint, const Rows<T>& rows) {
  for (int k = joint.shared - 1; k >= 0; --k) {
    Vector<T>* w = rows.y + k * rows.width;
    for (int q = k + 1; q < joint.shared; ++q) {
      const Vector<T>* other = rows.y + q * rows.width;
      for (int j = joint.shared; j < rows.width; ++j) w[j] += w[q] * other[j];
    }
  }
}

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

// Vectors of scratch for Join and Descend of a block; generous: what halves need is less than a geometric series.
int64_t Working(Shape whole) { return 3 * Square(whole.ports()) + 2 * Square(whole.rows + whole.cols); }

template <class T>
int64_t LeafScratch(int rows, int cols) {
  const Shape shape{rows, cols};
  return (Square(shape.ports()) + KeptSize(shape) + 2 * Working(shape)) * kLanes<T>;
}

template <class T>
void LeafGradient(const LeafAdjoint<T>& leaf) {
  const Shape shape{leaf.leaves.rows, leaf.leaves.cols};
  const int ports = shape.ports();
  Vector<T>* h = AsVector(leaf.leaves.scratch);
  Vector<T>* kept = h + Square(ports);
  Vector<T>* working = kept + KeptSize(shape);
  Join(leaf.leaves, shape, 0, 0, kept, h, working);
  LoadH(leaf, ports, h);
  Descend(leaf, shape, 0, 0, kept, h, working);
}

}  // namespace

const AdjointKernels<float> kAdjointFloat = {UnmergeBlocks<float>, LeafScratch<float>, LeafGradient<float>};
const AdjointKernels<double> kAdjointDouble = {UnmergeBlocks<double>, LeafScratch<double>, LeafGradient<double>};

}  // namespace MT_ISA
}  // namespace memtorch
