#include <algorithm>

#include "engine/grid/memory.h"
#include "engine/grid/merge_kernels.h"
#include "engine/grid/solver.h"

namespace memtorch {
namespace {

constexpr int64_t kKernelDepth = 128;

}  // namespace

template <class T>
int64_t RunProductKernel(int64_t repeats) {
  const MergeKernels<T>& kernels = ActiveMergeKernels<T>();
  MergeNode node;
  node.ports = 2 * kernels.panel;
  node.shared = kKernelDepth;
  const Memory<T> factors = Allocate<T>(kernels.FactorSize(node.shared, node.ports));
  const Memory<T> out = Allocate<T>(kernels.SharedRows(node.ports) * node.ports);
  std::fill_n(factors.get(), kernels.FactorSize(node.shared, node.ports), T(1e-3));
  Merge<T> merge{};
  merge.node = &node;
  merge.factors = factors.get();
  merge.out = out.get();
  merge.out_stride = node.ports;
  // A root's product is whole, without a diagonal: what is counted is what is computed.
  for (int64_t k = 0; k < repeats; ++k) kernels.update_root(merge, 0, 0, node.ports);
  return repeats * 2 * node.shared * node.ports * node.ports;
}

template int64_t RunProductKernel<float>(int64_t);
template int64_t RunProductKernel<double>(int64_t);

}  // namespace memtorch
