#include "engine/grid/leaf_kernels.h"

#include "engine/grid/leaf_blocks.h"
#include "engine/grid/leaf_fixed.h"
#include "engine/grid/vector.h"

namespace memtorch {
namespace MT_ISA {
namespace {

// All sizes are multiples of kStep.
template <class T>
MT_HD void Join(const Block<T>* children, const Joint& joint, Vector<T>* scratch, Vector<T>* n) {
  const int width = joint.shared + joint.whole.ports();
  JoinWith(children, joint, Rows<T>{scratch, scratch + joint.shared * width, width}, n);
}

// Vectors of scratch that Solve needs for a block.
int64_t ScratchVectors(Shape whole) {
  if (whole.cells() == kStep * kStep) return 0;
  Shape a, b;
  Split(whole, &a, &b);
  const bool across = a.cols != whole.cols;
  const int64_t shared = across ? whole.rows : whole.cols;
  const int64_t inner_a = ScratchVectors(a), inner_b = ScratchVectors(b);
  int64_t most = 2 * shared * (shared + whole.ports());
  if (inner_a > most) most = inner_a;
  if (inner_b > most) most = inner_b;
  return Square(a.ports()) + Square(b.ports()) + most;
}

// The block of cells with its first at (row, col), into n [ports, ports].
template <class T>
void Solve(const Leaves<T>& leaves, Shape whole, int row, int col, Vector<T>* n, Vector<T>* scratch) {
  if (whole.cells() == kStep * kStep) return SolveFixed<kStep, kStep, false>(leaves, row, col, n, nullptr);
  Shape a, b;
  Split(whole, &a, &b);
  const bool across = a.cols != whole.cols;
  Block<T> children[2] = {{scratch, a}, {scratch + Square(a.ports()), b}};
  Vector<T>* rest = children[1].n + Square(b.ports());
  Solve(leaves, a, row, col, children[0].n, rest);
  Solve(leaves, b, row + (across ? 0 : a.rows), col + (across ? a.cols : 0), children[1].n, rest);
  Join(children, across ? JoinAcross(a, b) : JoinDown(a, b), rest, n);
}

// Both triangles of each lane's matrix.
template <class T>
MT_HD void Unpack(const Leaves<T>& leaves, const Block<T>& block) {
  const int ports = block.shape.ports();
  for (int i = 0; i < ports; ++i) {
    for (int j = 0; j < ports; j += kLanes<T>) {
      Vector<T> square[kLanes<T>];
      for (int l = 0; l < kLanes<T>; ++l) {
        square[l] = j + l < ports && j + l != i ? *block.at(i, j + l) : Vector<T>{};
      }
      Transpose<T>(square);
      for (int l = 0; l < leaves.count; ++l) AsVector(leaves.out[l] + i * leaves.out_stride + j)[0] = square[l];
    }
  }
}

template <class T>
int64_t Scratch(int rows, int cols) {
  const Shape shape{rows, cols};
  return (Square(shape.ports()) + ScratchVectors(shape)) * kLanes<T>;
}

template <class T>
void SolveLeaves(const Leaves<T>& leaves) {
  const Shape shape{leaves.rows, leaves.cols};
  const Block<T> block{AsVector(leaves.scratch), shape};
  Solve(leaves, shape, 0, 0, block.n, block.n + Square(shape.ports()));
  Unpack(leaves, block);
}

}  // namespace

const LeafKernels<float> kLeafFloat = {kLanes<float>, Scratch<float>, SolveLeaves<float>};
const LeafKernels<double> kLeafDouble = {kLanes<double>, Scratch<double>, SolveLeaves<double>};

}  // namespace MT_ISA
}  // namespace memtorch
