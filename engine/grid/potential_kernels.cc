#include "engine/grid/potential_kernels.h"

#include "engine/grid/back_substitution.h"
#include "engine/grid/leaf_rows.h"
#include "engine/grid/merge_panels.h"
#include "engine/grid/vector.h"

namespace memtorch {
namespace MT_ISA {
namespace {

template <class T>
void Substitute(const Merge<T>& merge) {
  BackSubstitute(Factors<T>(merge));
}

// The rows of one panel that segments send to the children.
template <class T>
MT_HD void Send(const JointPotentials<T>& joint, const std::vector<Segment>& segments, int64_t panel, const T* rows) {
  const Segment* end = segments.data() + segments.size();
  for (const Segment* s = segments.data(); s != end; ++s) {
    const int64_t first = panel * joint.child_count[s->child] + s->from;
    const Vector<T>* from = AsVector(rows + s->to * kPanel<T>);
    Vector<T>* to = AsVector(joint.child_ports[s->child] + first * kPanel<T>);
    for (int64_t k = 0; k < s->size * kVectors; ++k) to[k] = from[k];
  }
}

template <class T>
void JointDown(const JointPotentials<T>& joint) {
  const Factors<T> f(joint.merge);
  const MergeNode& node = *joint.merge.node;
  for (int child = 0; child < 2; ++child) {
    // Ports that go nowhere, those of padding, stay at 0 V.
    if (joint.child_ports[child] == nullptr) continue;
    Clear(joint.child_ports[child], joint.panels * joint.child_count[child] * kPanel<T>);
  }
  for (int64_t p = 0; p < joint.panels; ++p) {
    const T* ports = joint.ports + p * f.ports * kPanel<T>;
    for (int64_t row = 0; row < f.rows; row += kRows) {
      Tile<T> tile{};
      AddRowProduct(f.outer, row, ports, 0, f.ports, &tile);
      tile.Store(joint.scratch + row * kPanel<T>, kPanel<T>);
    }
    Send(joint, node.shared_segments, p, joint.scratch);
    Send(joint, node.outer_segments, p, ports);
  }
}

// The nodes in and around leaves, [nodes, lanes] vectors: input vectors one after the other, leaves in their lanes.
template <class T>
struct LeafNodes {
  Vector<T>* nodes;
  int rows, cols;

  MT_HD int64_t word_step() const { return static_cast<int64_t>(cols + 1) * kLanes<T>; }
  // Left of column j, for j = 0 ... cols.
  MT_HD Vector<T>* word(int i, int j) const { return nodes + i * word_step() + j * kLanes<T>; }
  // Above row i, for i = 0 ... rows.
  MT_HD Vector<T>* bit(int i, int j) const {
    return nodes + rows * word_step() + static_cast<int64_t>(i * cols + j) * kLanes<T>;
  }
  static int64_t Size(Shape shape) {
    return static_cast<int64_t>(shape.rows * (shape.cols + 1) + (shape.rows + 1) * shape.cols) * kLanes<T>;
  }
};

// A joint on the way down through leaves: what it eliminated, from the potentials around its block.
template <class T>
struct LeafJoint {
  Shape block;
  int row, col, shared, width;
  const Vector<T>* weights;  // [shared, width]
  int64_t first, step;       // where the shared nodes are among the nodes, in vectors
};

// The memory of a group of leaves, in vectors.
template <class T>
struct LeafMemory {
  Vector<T>*kept, *n, *working;
  LeafNodes<T> nodes;
  LeafJoint<T>* joints;  // [cells - 1], in the order of going down

  explicit LeafMemory(const Leaves<T>& leaves) {
    const Shape shape{leaves.rows, leaves.cols};
    joints = reinterpret_cast<LeafJoint<T>*>(leaves.scratch);
    kept = AsVector(leaves.scratch) + JointsSize(shape);
    n = kept + KeptSize(shape);
    working = n + Square(shape.ports());
    nodes = {n, leaves.rows, leaves.cols};  // where n was
  }
  static int64_t JointsSize(Shape shape) {
    const int64_t bytes = (shape.cells() - 1) * static_cast<int64_t>(sizeof(LeafJoint<T>));
    return (bytes + kVectorBytes - 1) / kVectorBytes;
  }
  static int64_t Size(Shape shape) {
    const int64_t joining = Square(shape.ports()) + WorkingSize(shape), nodes = LeafNodes<T>::Size(shape);
    return JointsSize(shape) + KeptSize(shape) + (joining > nodes ? joining : nodes);
  }
};

template <class T>
int64_t LeafScratch(int rows, int cols) {
  return LeafMemory<T>::Size({rows, cols}) * kLanes<T>;
}

// The rows of all joints of a block become weights; lists the joints. Returns the end of the list.
template <class T>
LeafJoint<T>* SubstituteAll(const LeafNodes<T>& nodes, Shape whole, int row, int col, Vector<T>* kept,
                            LeafJoint<T>* next) {
  if (whole.cells() == 1) return next;
  const Halves<T> halves(whole, kept);
  BackSubstitute(halves.joint, halves.rows);
  const Vector<T>* shared = halves.across ? nodes.word(row, halves.col_b(col)) : nodes.bit(halves.row_b(row), col);
  *next++ = {whole,
             row,
             col,
             halves.joint.shared,
             halves.rows.width,
             halves.rows.y + halves.joint.shared,
             shared - nodes.nodes,
             halves.across ? nodes.word_step() : kLanes<T>};
  next = SubstituteAll(nodes, halves.a, row, col, halves.kept_a, next);
  return SubstituteAll(nodes, halves.b, halves.row_b(row), halves.col_b(col), halves.kept_b, next);
}

template <class T>
void JoinLeaves(const Leaves<T>& leaves) {
  const Shape shape{leaves.rows, leaves.cols};
  const LeafMemory<T> memory(leaves);
  JoinKeeping(leaves, shape, 0, 0, memory.kept, memory.n, memory.working);
  SubstituteAll<T>(memory.nodes, shape, 0, 0, memory.kept, memory.joints);
}

// Input vectors whose sums stay in registers.
template <class T>
constexpr int kChunk = kLanes<T> < 4 ? kLanes<T> : 4;

// sums [kCount, kChunk] += weights [kCount, size] times potentials of nodes that are `step` vectors apart.
template <int kCount, class T>
MT_HD void AddSide(const Vector<T>* weights, int width, const Vector<T>* nodes, int64_t step, int size,
                   Vector<T> (*sum)[kChunk<T>]) {
  for (int e = 0; e < size; ++e) {
    Vector<T> potential[kChunk<T>];
#pragma GCC unroll 4
    for (int c = 0; c < kChunk<T>; ++c) potential[c] = nodes[e * step + c];
#pragma GCC unroll 4
    for (int k = 0; k < kCount; ++k) {
      const Vector<T> weight = weights[k * width + e];
#pragma GCC unroll 4
      for (int c = 0; c < kChunk<T>; ++c) sum[k][c] += weight * potential[c];
    }
  }
}

// kCount nodes, `shared_step` vectors apart, from the potentials around a block at (row, col).
template <int kCount, class T>
MT_HD void SharedNodes(const LeafNodes<T>& nodes, Shape block, int row, int col, const Vector<T>* weights, int width,
                       Vector<T>* shared, int64_t shared_step) {
  for (int v = 0; v < kLanes<T>; v += kChunk<T>) {
    Vector<T> sum[kCount][kChunk<T>] = {};
    AddSide<kCount, T>(weights, width, nodes.bit(row, col) + v, kLanes<T>, block.cols, sum);
    AddSide<kCount, T>(weights + block.left(), width, nodes.word(row, col) + v, nodes.word_step(), block.rows, sum);
    AddSide<kCount, T>(weights + block.right(), width, nodes.word(row, col + block.cols) + v, nodes.word_step(),
                       block.rows, sum);
    AddSide<kCount, T>(weights + block.bottom(), width, nodes.bit(row + block.rows, col) + v, kLanes<T>, block.cols,
                       sum);
#pragma GCC unroll 4
    for (int k = 0; k < kCount; ++k) {
#pragma GCC unroll 4
      for (int c = 0; c < kChunk<T>; ++c) shared[k * shared_step + v + c] = sum[k][c];
    }
  }
}

template <class T>
MT_HD void LeafJointDown(const LeafNodes<T>& nodes, const LeafJoint<T>& joint) {
  for (int k = 0; k < joint.shared;) {
    const Vector<T>* weights = joint.weights + k * joint.width;
    Vector<T>* shared = nodes.nodes + joint.first + k * joint.step;
    if (joint.shared - k >= 4) {
      SharedNodes<4, T>(nodes, joint.block, joint.row, joint.col, weights, joint.width, shared, joint.step);
      k += 4;
    } else {
      SharedNodes<1, T>(nodes, joint.block, joint.row, joint.col, weights, joint.width, shared, joint.step);
      ++k;
    }
  }
}

// The ports of all lanes side by side.
template <class T>
MT_HD void LoadSide(const LeafPotentials<T>& leaf, int ports, int first, int size, Vector<T>* nodes, int64_t step) {
  for (int e = 0; e < size; ++e) {
    const int64_t at = (leaf.first / kPanel<T> * ports + first + e) * kPanel<T> + leaf.first % kPanel<T>;
    Vector<T> square[kLanes<T>];
    for (int l = 0; l < kLanes<T>; ++l) {
      square[l] = l < leaf.leaves.count ? AsVector(leaf.ports[l] + at)[0] : Vector<T>{};
    }
    Transpose<T>(square);
    for (int v = 0; v < kLanes<T>; ++v) nodes[e * step + v] = square[v];
  }
}

template <class T>
MT_HD void StoreBits(const LeafPotentials<T>& leaf, const LeafNodes<T>& nodes) {
  for (int v = 0; v < kLanes<T>; ++v) {
    for (int i = 0; i < nodes.rows; ++i) {
      for (int j = 0; j < nodes.cols; j += kLanes<T>) {
        Vector<T> square[kLanes<T>];
        for (int q = 0; q < kLanes<T>; ++q) square[q] = j + q < nodes.cols ? nodes.bit(i, j + q)[v] : Vector<T>{};
        Transpose<T>(square);
        for (int l = 0; l < leaf.leaves.count; ++l) {
          AsVector(leaf.bit[l] + (v * nodes.rows + i) * kLeafSize + j)[0] = square[l];
        }
      }
    }
  }
}

template <class T>
void Leaf(const LeafPotentials<T>& leaf) {
  const Shape shape{leaf.leaves.rows, leaf.leaves.cols};
  const LeafMemory<T> memory(leaf.leaves);
  const LeafNodes<T>& nodes = memory.nodes;
  const int ports = shape.ports();
  LoadSide(leaf, ports, 0, shape.cols, nodes.bit(0, 0), kLanes<T>);
  LoadSide(leaf, ports, shape.left(), shape.rows, nodes.word(0, 0), nodes.word_step());
  LoadSide(leaf, ports, shape.right(), shape.rows, nodes.word(0, shape.cols), nodes.word_step());
  LoadSide(leaf, ports, shape.bottom(), shape.cols, nodes.bit(shape.rows, 0), kLanes<T>);
  for (int k = 0; k < shape.cells() - 1; ++k) LeafJointDown(nodes, memory.joints[k]);
  StoreBits(leaf, nodes);
}

}  // namespace

const PotentialKernels<float> kPotentialFloat = {Substitute<float>, JointDown<float>, LeafScratch<float>,
                                                 JoinLeaves<float>, Leaf<float>};
const PotentialKernels<double> kPotentialDouble = {Substitute<double>, JointDown<double>, LeafScratch<double>,
                                                   JoinLeaves<double>, Leaf<double>};

}  // namespace MT_ISA
}  // namespace memtorch
