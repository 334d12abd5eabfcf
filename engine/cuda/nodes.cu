#include <algorithm>

#include "engine/cuda/newton_nodes.h"
#include "engine/cuda/node_blocks.h"
#include "engine/cuda/nodes.h"
#include "engine/grid/node_checks.h"

namespace memtorch::cuda {
namespace {

constexpr const char* kOp = "solve_nodes";

struct FactorOnce {
  NodeLines lines;

  MT_HD void operator()(const Block& block) const { FactorNodes(block, lines); }
};

// What all blocks solve, one vector after the other.
struct Vectors {
  MatrixView<const double> word, bit;
  NodeOptions options;
  GridNodes nodes;
  int64_t blocks;     // of threads
  double* workspace;  // arrays of nodes for each block

  MT_HD const double* WordVolts(int64_t vector) const { return word.data + vector * word.stride; }
  MT_HD const double* BitVolts(int64_t vector) const {
    return bit.data == nullptr ? nullptr : bit.data + vector * bit.stride;
  }
  MT_HD void Report(const Block& block, int64_t vector, double residual) const {
    block.Each(1, [&](int) { nodes.residual[vector] = residual; });
  }
};

struct SolveLinear {
  static constexpr int64_t kArrays = 4;  // r, t, x, y; others live where the result goes

  NodeLines lines;
  Vectors vectors;

  MT_HD void operator()(const Block& block) const {
    const int64_t size = lines.nodes();
    double* arrays = vectors.workspace + block.index() * kArrays * size;
    for (int64_t k = block.index(); k < vectors.word.rows; k += vectors.blocks) {
      LinearNodes linear(block, lines,
                         {vectors.nodes.bit + k * size, arrays, vectors.nodes.word + k * size, arrays + size,
                          arrays + 2 * size, arrays + 3 * size});
      const Inflow in = {nullptr, nullptr, vectors.WordVolts(k), vectors.BitVolts(k)};
      vectors.Report(block, k, linear.Solve(in, vectors.options.warm, 0, vectors.options.tolerance));
    }
  }
};

struct SinhOfNode {
  const double* g;
  int64_t cols, stride;
  double steepness, inverse;

  MT_HD void operator()(int64_t node, double v, double* current, double* slope) const {
    const double siemens = g[stride == cols ? node : node / cols * stride + node % cols];
    double sinh, cosh;
    SinhCosh(steepness * v, &sinh, &cosh);
    *current = siemens * sinh * inverse;
    *slope = siemens * cosh;
  }
};

struct SolveSinh {
  NodeLines lines;  // without devices
  SinhOfNode curve;
  Vectors vectors;

  MT_HD void operator()(const Block& block) const {
    const int64_t size = lines.nodes();
    double* arrays = vectors.workspace + block.index() * NewtonArrays::kWithoutPotentials * size;
    for (int64_t k = block.index(); k < vectors.word.rows; k += vectors.blocks) {
      NewtonNodes<SinhOfNode> newton(
          block, lines, curve,
          NewtonArraysAt(vectors.nodes.word + k * size, vectors.nodes.bit + k * size, arrays, size));
      vectors.Report(block, k, newton.Solve(vectors.WordVolts(k), vectors.BitVolts(k), vectors.options));
    }
  }
};

void Check(MatrixView<const double> g, const Wires& wires, const GridSources& sources, const NodeOptions& options) {
  CheckNodeShapes(kOp, g.rows, g.cols, wires, sources, options);
  CheckNodeCount(kOp, g.rows, g.cols);
}

}  // namespace

int64_t SolveNodesWorkspaceBytes(int64_t rows, int64_t cols, int64_t vectors, bool linear) {
  const int64_t arrays = linear ? SolveLinear::kArrays : NewtonArrays::kWithoutPotentials;
  const int64_t shared = linear ? kRatioArrays : 0;
  return (shared + NodeBlocks(rows, cols, vectors, arrays) * arrays) * rows * cols *
         static_cast<int64_t>(sizeof(double));
}

void SolveNodes(MatrixView<const double> g, const Wires& wires, const GridSources& sources, const NodeOptions& options,
                const GridNodes& nodes, void* workspace, void* stream) {
  Check(g, wires, sources, options);
  if (sources.word.rows == 0) return;
  double* arrays = static_cast<double*>(workspace);
  NodeLines lines = NodeLinesOf(g.rows, g.cols, wires, sources);
  lines.g = g.data;
  lines.stride = g.stride;
  lines.bit_ratio = arrays;
  lines.word_ratio = arrays + lines.nodes();
  const int64_t blocks = NodeBlocks(g.rows, g.cols, sources.word.rows, SolveLinear::kArrays);
  ForNodeBlocks(kOp, lines, 1, FactorOnce{lines}, stream);
  const Vectors vectors{sources.word, sources.bit, options, nodes, blocks, arrays + kRatioArrays * lines.nodes()};
  ForNodeBlocks(kOp, lines, blocks, SolveLinear{lines, vectors}, stream);
}

void SolveNodes(const SinhDevices& devices, const Wires& wires, const GridSources& sources, const NodeOptions& options,
                const GridNodes& nodes, void* workspace, void* stream) {
  const MatrixView<const double>& g = devices.g;
  Check(g, wires, sources, options);
  CheckSteepness(devices.steepness);
  const NodeLines lines = NodeLinesOf(g.rows, g.cols, wires, sources);
  const int64_t blocks = NodeBlocks(g.rows, g.cols, sources.word.rows, NewtonArrays::kWithoutPotentials);
  const SinhOfNode curve{g.data, g.cols, g.stride, devices.steepness, 1 / devices.steepness};
  const Vectors vectors{sources.word, sources.bit, options, nodes, blocks, static_cast<double*>(workspace)};
  ForNodeBlocks(kOp, lines, blocks, SolveSinh{lines, curve, vectors}, stream);
}

}  // namespace memtorch::cuda
