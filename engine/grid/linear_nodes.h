// The node potentials of a linear grid, one vector at a time: what SolveNodes stands on.
#ifndef MEMTORCH_ENGINE_GRID_LINEAR_NODES_H_
#define MEMTORCH_ENGINE_GRID_LINEAR_NODES_H_

#include <cstdint>

#include "engine/grid/memory.h"
#include "engine/grid/node_kernels.h"
#include "engine/grid/nodes.h"

namespace memtorch {

// Arrays of nodes and of lines, aligned, in one stretch of memory: the allocator keeps one for the next call. Those of
// lines are 0, those of nodes hold anything outside the rows of padding.
class NodeArrays {
 public:
  NodeArrays(int64_t rows, int64_t cols, int64_t node_arrays);

  int64_t stride() const { return stride_; }
  double* Nodes();
  double* OfRows() { return Zeros(padded_rows_); }
  double* OfCols() { return Zeros(stride_); }
  double* Scratch() { return Take(NodeScratch(stride_, lanes_)); }  // once

 private:
  static constexpr int64_t kLineArrays = 4;

  double* Take(int64_t size);
  double* Zeros(int64_t size);

  int lanes_;
  int64_t rows_, padded_rows_, stride_, used_ = 0;
  Memory<double> memory_;
};

// A grid as its kernels take it, devices of 0 S: shared by threads, except for the scratch.
class GridLines {
 public:
  GridLines(int64_t rows, int64_t cols, const Wires& wires, const GridSources& sources);

  const Lines& get() const { return lines_; }

 private:
  NodeArrays arrays_;
  Lines lines_{};
};

// The potentials under one vector after another. An iteration is 14 passes over 7 arrays: at 128x128 and on one core some
// 14 us, 10 of them in Turn, against 31 when it held p, B p, r, S p, z and the potentials and took 26. Four, 11 and 41
// iterations leave 1e-11 of the largest current with wires of 1, 5 and 20 ohm and devices up to 1e-4, 1e-3 and 1e-2 S.
class LinearNodes {
 public:
  // `lines` must live as long, and be factored before anything is solved.
  explicit LinearNodes(const Lines& lines);

  void Factor() { kernels_.factor(lines_); }
  void SetSources(const GridSources& sources, int64_t vector);
  // What the sources bring.
  Inflow sources() const { return {nullptr, nullptr, word_volts_, bit_volts_}; }

  // Solves for w and b under `in`. Kirchhoff's law then holds at every bit node, and up to `change` at every word node:
  // returns the largest of that in parts of `scale` amperes (0: of the largest current through a device), at most
  // `tolerance` if rounding lets it. warm: from the potentials b on.
  double Solve(const Inflow& in, bool warm, double scale, double tolerance);
  const BitLargest& largest() const { return largest_; }  // of the solution

 private:
  double Round(const Inflow& in, const Inflow& missing, double scale, double tolerance);
  double Settle(const Inflow& in, const double* x, double scale);
  void Iterate(double product, double goal);

  const NodeKernels& kernels_ = ActiveNodeKernels();
  Lines lines_;
  NodeArrays arrays_;
  double *word_volts_, *bit_volts_;
  double *r_, *p_, *t_, *x_;
  BitLargest largest_{};

 public:
  double* b;       // potentials of bit nodes
  double* w;       // and of word nodes
  double* change;  // amperes that word nodes lack
  double* flow;    // amperes through the devices, with `bit`
};

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_GRID_LINEAR_NODES_H_
