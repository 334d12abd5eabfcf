// The joining of blocks backwards: derivatives, one table per instruction set (engine/simd.h) and element type.
//
// A number that depends on a block's matrix through what h says, dL = sum over ports a, b of h(a, b) dA(a, b), where A
// has -n(a, b) off its diagonal and makes every row sum 0, depends in the same way on the matrices of its children.
// With w = K^-1 F, the potentials of the shared nodes when the outer ports are held, their h is
//   outer, outer: h      shared, outer: w h      shared, shared: w h w^T
// and for a single conductance between a and b, dL/dg = h(a, a) + h(b, b) - 2 h(a, b).
//
// For m shared nodes and n outer ports these products are 2 m n^2 + 2 m^2 n operations, where joining took m n^2 + m^2 n
// + m^3 / 3. Of the sweep down through 128 x 128 devices w h takes three tenths, at four fifths of the product kernel's
// speed, the leaves, which are joined again, a third, and a seventh each w, which waits for factors from the third-level
// cache, and the children's h, which is copied. w h w^T is w times the transposed of w h: all products are of one kind.
#ifndef MEMTORCH_ENGINE_GRID_ADJOINT_KERNELS_H_
#define MEMTORCH_ENGINE_GRID_ADJOINT_KERNELS_H_

#include <cstdint>

#include "engine/grid/leaf_kernels.h"
#include "engine/grid/merge_kernels.h"

namespace memtorch {

// Elements from row to row of the matrices here: whole cache lines, and an odd number of them, so that a few columns of
// many rows do not all fall into the same places of a cache.
template <class T>
MT_HD int64_t AdjointStride(int64_t columns) {
  constexpr int64_t kLine = 64 / sizeof(T);
  return ((columns + kLine - 1) / kLine | 1) * kLine;
}

// A joint whose factors are kept. h of a block with n ports is [n, n], row-major.
template <class T>
struct Unmerge {
  Merge<T> merge;
  const T* h;
  T* child_h[2];
  int64_t child_ports[2];
  T* scratch;  // AdjointKernels::ScratchSize() elements
};

template <class T>
struct LeafAdjoint {
  Leaves<T> leaves;   // `out` is not used; `scratch` holds AdjointKernels::leaf_scratch() elements
  const T* const* h;  // [count]
  T* gradient;        // [rows, cols, lanes], with respect to the devices
};

template <class T>
struct AdjointKernels {
  // In this order: w, panels [begin, end) of the outer columns; w h, likewise; w h w^T, panels [begin, end) of the shared
  // columns; then h of a child.
  void (*back_substitute)(const Unmerge<T>& unmerge, int64_t begin, int64_t end);
  void (*multiply_h)(const Unmerge<T>& unmerge, int64_t begin, int64_t end);
  void (*multiply_w)(const Unmerge<T>& unmerge, int64_t begin, int64_t end);
  void (*scatter)(const Unmerge<T>& unmerge, int child);
  int64_t (*leaf_scratch)(int rows, int cols);
  void (*leaf)(const LeafAdjoint<T>& leaf);

  static int64_t ScratchSize(const MergeKernels<T>& kernels, int64_t shared, int64_t ports) {
    const int64_t columns = kernels.Columns(ports), rows = kernels.Columns(kernels.SharedRows(shared));
    return 2 * rows * AdjointStride<T>(columns) + (columns + rows) * AdjointStride<T>(rows);
  }
};

namespace baseline {
extern const AdjointKernels<float> kAdjointFloat;
extern const AdjointKernels<double> kAdjointDouble;
}  // namespace baseline
namespace avx2 {
extern const AdjointKernels<float> kAdjointFloat;
extern const AdjointKernels<double> kAdjointDouble;
}  // namespace avx2
namespace avx512 {
extern const AdjointKernels<float> kAdjointFloat;
extern const AdjointKernels<double> kAdjointDouble;
}  // namespace avx512

template <class T>
const AdjointKernels<T>& ActiveAdjointKernels() {
  if constexpr (sizeof(T) == sizeof(float)) {
    return Select(baseline::kAdjointFloat, avx2::kAdjointFloat, avx512::kAdjointFloat);
  } else {
    return Select(baseline::kAdjointDouble, avx2::kAdjointDouble, avx512::kAdjointDouble);
  }
}

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_GRID_ADJOINT_KERNELS_H_
