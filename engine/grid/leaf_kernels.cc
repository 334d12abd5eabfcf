#include "engine/grid/leaf_kernels.h"

#include "engine/grid/leaf_blocks.h"
#include "engine/grid/leaf_fixed.h"
#include "engine/grid/vector.h"

namespace memtorch {
namespace MT_ISA {
namespace {

// Vectors from one row of a matrix to the next: an odd number, so that a column is spread over the whole cache.
constexpr int Stride(int columns) { return columns | 1; }

constexpr int64_t BlockVectors(Shape shape) { return static_cast<int64_t>(shape.ports()) * Stride(shape.ports()); }

// All sizes are multiples of kStep.
template <class T>
MT_HD void Join(const Block<T>* children, const Joint& joint, Vector<T>* scratch, const Block<T>& out) {
  const int width = joint.shared + joint.whole.ports();
  JoinWith(children, joint, Rows<T>{scratch, scratch + joint.shared * Stride(width), width, Stride(width)}, out);
}

// Vectors of scratch that Solve needs for a block.
int64_t ScratchVectors(Shape whole) {
  if (whole.cells() == kStep * kStep) return 0;
  Shape a, b;
  Split(whole, &a, &b);
  const bool across = a.cols != whole.cols;
  const int64_t shared = across ? whole.rows : whole.cols;
  const int64_t inner_a = ScratchVectors(a), inner_b = ScratchVectors(b);
  int64_t most = 2 * shared * Stride(static_cast<int>(shared) + whole.ports());
  if (inner_a > most) most = inner_a;
  if (inner_b > most) most = inner_b;
  return BlockVectors(a) + BlockVectors(b) + most;
}

// A block of Solve's at `memory`.
template <class T>
MT_HD Block<T> BlockAt(Vector<T>* memory, Shape shape) {
  return {memory, shape, shape.cells() == kStep * kStep ? shape.ports() : Stride(shape.ports())};
}

// The block of cells with its first at (row, col).
template <class T>
void Solve(const Leaves<T>& leaves, int row, int col, const Block<T>& block, Vector<T>* scratch) {
  const Shape whole = block.shape;
  if (whole.cells() == kStep * kStep) return SolveFixed<kStep, kStep, false>(leaves, row, col, block.n, nullptr);
  Shape a, b;
  Split(whole, &a, &b);
  const bool across = a.cols != whole.cols;
  const Block<T> children[2] = {BlockAt<T>(scratch, a), BlockAt<T>(scratch + BlockVectors(a), b)};
  Vector<T>* rest = children[1].n + BlockVectors(b);
  Solve(leaves, row, col, children[0], rest);
  Solve(leaves, row + (across ? 0 : a.rows), col + (across ? a.cols : 0), children[1], rest);
  Join(children, across ? JoinAcross(a, b) : JoinDown(a, b), rest, block);
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
  return (BlockVectors(shape) + ScratchVectors(shape)) * kLanes<T>;
}

template <class T>
void SolveLeaves(const Leaves<T>& leaves) {
  const Shape shape{leaves.rows, leaves.cols};
  const Block<T> block = BlockAt<T>(AsVector(leaves.scratch), shape);
  Solve(leaves, 0, 0, block, block.n + BlockVectors(shape));
  Unpack(leaves, block);
}

}  // namespace

const LeafKernels<float> kLeafFloat = {kLanes<float>, Scratch<float>, SolveLeaves<float>};
const LeafKernels<double> kLeafDouble = {kLanes<double>, Scratch<double>, SolveLeaves<double>};

}  // namespace MT_ISA
}  // namespace memtorch
