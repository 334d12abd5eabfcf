// Joining two blocks of a grid, one table per instruction set (engine/simd.h) and element type.
//
// A network is the matrix of conductances n(a, b) >= 0 between its nodes; the diagonal is neither stored nor read.
// Eliminating node k:  d = sum over b of n(k, b);  n(a, b) += n(a, k) n(k, b) / d.  Nothing is ever subtracted
// (Grassmann, Taksar, Heyman 1985), so every result is accurate in each of its components.
#ifndef MEMTORCH_ENGINE_GRID_MERGE_KERNELS_H_
#define MEMTORCH_ENGINE_GRID_MERGE_KERNELS_H_

#include <cstdint>

#include "engine/grid/merge_plan.h"
#include "engine/simd.h"

namespace memtorch {

// One node of a MergePlan at work.
template <class T>
struct Merge {
  const T* child[2];  // row-major
  int64_t child_stride[2];
  const MergeNode* node;
  // Factors of the elimination: rows of what is shared against columns of what is shared and of the outer ports, in
  // panels of MergeKernels::panel columns, and the pivots; FactorSize() elements aligned to 64 bytes.
  T* factors;
  // Result, aligned to 64 bytes; room for OutRows() rows of out_stride elements, a multiple of the panel.
  T* out;
  int64_t out_stride;
};

template <class T>
struct MergeKernels {
  int panel;      // columns that are worked on together
  int row_block;  // rows likewise
  int vector;     // columns that are loaded together
  // Reads rows [begin, end) of the children's shared rows against the outer columns, begin a multiple of row_block; with
  // all of them read, eliminates among what is shared; then does the same to panels [begin, end) of the outer columns.
  void (*gather_outer)(const Merge<T>& merge, int64_t begin, int64_t end);
  void (*factor)(const Merge<T>& merge);
  void (*factor_outer)(const Merge<T>& merge, int64_t begin, int64_t end);
  // Rows [begin, end) of the result, upper triangle; begin is a multiple of row_block.
  void (*update)(const Merge<T>& merge, int64_t begin, int64_t end);
  // For the root: rows [begin, end) of the conductances [drivers, senses], sense 0 at column first_sense of the node.
  void (*update_root)(const Merge<T>& merge, int64_t first_sense, int64_t begin, int64_t end);

  int64_t SharedRows(int64_t shared) const { return (shared + row_block - 1) / row_block * row_block; }
  int64_t Columns(int64_t n) const { return (n + panel - 1) / panel * panel; }
  int64_t FactorSize(int64_t shared, int64_t ports) const {
    return SharedRows(shared) * (Columns(SharedRows(shared)) + Columns(ports) + row_block + 2);
  }
};

namespace baseline {
extern const MergeKernels<float> kMergeFloat;
extern const MergeKernels<double> kMergeDouble;
}  // namespace baseline
namespace avx2 {
extern const MergeKernels<float> kMergeFloat;
extern const MergeKernels<double> kMergeDouble;
}  // namespace avx2
namespace avx512 {
extern const MergeKernels<float> kMergeFloat;
extern const MergeKernels<double> kMergeDouble;
}  // namespace avx512

template <class T>
const MergeKernels<T>& ActiveMergeKernels() {
  if constexpr (sizeof(T) == sizeof(float)) {
    return Select(baseline::kMergeFloat, avx2::kMergeFloat, avx512::kMergeFloat);
  } else {
    return Select(baseline::kMergeDouble, avx2::kMergeDouble, avx512::kMergeDouble);
  }
}

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_GRID_MERGE_KERNELS_H_
