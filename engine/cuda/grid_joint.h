// Joints of blocks of a grid, by blocks of threads: what grid.cu and grid_gradient.cu share.
//
// The arithmetic is that of engine/grid/merge_kernels.h: pivots are sums, and nothing is ever subtracted.
#ifndef MEMTORCH_ENGINE_CUDA_GRID_JOINT_H_
#define MEMTORCH_ENGINE_CUDA_GRID_JOINT_H_

#include "engine/cuda/grid_plan.h"
#include "engine/cuda/launch.h"
#include "engine/math.h"

namespace memtorch::cuda {

// A sum of conductances below it is a sum of zeros: wires are at least 1 / kMaxWireOhm.
template <class T>
constexpr T kNothing = T(1e-35);

MT_HD int Least(int a, int b) { return a < b ? a : b; }

// 1 / pivot; 0 for a node that nothing is connected to: it simply goes.
template <class T>
MT_HD T InverseOf(T pivot) {
  return pivot > kNothing<T> ? 1 / pivot : T(0);
}

template <class T>
MT_HD T RootOf(T x) {
  return static_cast<T>(Sqrt(static_cast<double>(x)));
}

// The same joint of every tile of a batch: what a block of threads works on.
template <class T>
struct TileJoints {
  const GridJoint* joints;
  int count;
  T* memory;
  int64_t tile_size;

  // With `parts` blocks of threads for each joint.
  MT_HD const GridJoint& JointOf(const Block& block, int parts = 1) const {
    return joints[block.index() / parts % count];
  }
  MT_HD T* TileOf(const Block& block, int parts = 1) const {
    return memory + block.index() / parts / count * tile_size;
  }
};

// The pair (i, j), i <= j < n, that is k-th of n (n + 1) / 2, without a loop or a root: rows i and n - 1 - i together
// are as long for every i.
struct Pair {
  int i, j;
};
MT_HD Pair PairOf(int k, int n) {
  const int odd = n & 1, width = n + 1 - odd, i = k / width, c = k % width;
  if (c >= i + 1 - odd) return {i, c - 1 + odd};
  return {n - 1 - i + odd, n - 1 - c};
}
MT_HD int PairCount(int n) { return n * (n + 1) / 2; }

// A column of a slab, which a thread keeps in registers.
template <class T>
struct Column {
  T x[kSlab];
};

// Adds what the children have in rows [first, first + kSlab) of what is shared: of `columns`, which are those of what is
// shared or the outer ones, the one at `col`. Of what is shared only what lies right of the diagonal.
template <class T>
MT_HD void GatherColumn(const GridJoint& joint, const T* tile, int first, const GridSegment* columns, int count,
                        int col, bool outer, Column<T>* column) {
  for (int t = 0; t < count; ++t) {
    const GridSegment to = columns[t];
    if (col < to.to || col >= to.to + to.size) continue;
    const int64_t stride = joint.child_ports[to.child];
    for (int s = 0; s < joint.shared_count; ++s) {
      const GridSegment from = joint.shared_segments[s];
      if (from.child != to.child) continue;
      const int begin = first - from.to;
      const T* value = tile + joint.child[to.child] + (from.from + begin) * stride + to.from + col - to.to;
      MT_UNROLL
      for (int r = 0; r < kSlab; ++r) {
        const bool inside = begin + r >= 0 && begin + r < from.size && (outer || first + r < col);
        if (inside) column->x[r] += value[r * stride];
      }
    }
  }
}

}  // namespace memtorch::cuda

#endif  // MEMTORCH_ENGINE_CUDA_GRID_JOINT_H_
