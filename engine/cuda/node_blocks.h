// What the host decides for solutions of grids by blocks of threads: their circuit, their number, their memory.
#ifndef MEMTORCH_ENGINE_CUDA_NODE_BLOCKS_H_
#define MEMTORCH_ENGINE_CUDA_NODE_BLOCKS_H_

#include <algorithm>
#include <climits>

#include "engine/cuda/newton_nodes.h"
#include "engine/grid/nodes.h"

namespace memtorch::cuda {

constexpr int64_t kRatioArrays = 2;  // arrays of nodes that NodeLines points to

// Blocks solve vectors one after the other where there are more than this many, or than their memory allows. Few of them
// show as much where every thread is watched.
#if defined(MT_EMULATED_THREADS)
constexpr int64_t kMostNodeBlocks = 20;
#else
constexpr int64_t kMostNodeBlocks = 2048;
#endif
constexpr int64_t kMostNodeBytes = int64_t{2} << 30;

inline int64_t NodeBlocks(int64_t rows, int64_t cols, int64_t vectors, int64_t arrays) {
  const int64_t bytes = arrays * rows * cols * static_cast<int64_t>(sizeof(double));
  return std::min({vectors, kMostNodeBlocks, std::max<int64_t>(1, kMostNodeBytes / bytes)});
}

inline void CheckNodeCount(const char* op, int64_t rows, int64_t cols) {
  if (rows > INT_MAX / cols) Invalid(op, "rows times cols (", rows, " x ", cols, ") must be at most ", INT_MAX);
}

// The circuit but for its devices and ratios.
inline NodeLines NodeLinesOf(int64_t rows, int64_t cols, const Wires& wires, const GridSources& sources) {
  NodeLines lines{};
  lines.rows = rows;
  lines.cols = cols;
  lines.word = WireSiemens(wires.word);
  lines.bit = WireSiemens(wires.bit);
  lines.source = WireSiemens(wires.source);
  lines.load = WireSiemens(wires.load);
  lines.drive_both = wires.drive_both;
  lines.sense_both = wires.sense_both;
  lines.word_open = sources.word_open;
  lines.bit_open = sources.bit_open;
  return lines;
}

// Arrays of `size` nodes from `memory` on.
MT_HD NewtonArrays NewtonArraysAt(double* w, double* b, double* memory, int64_t size) {
  const auto at = [&](int64_t k) { return memory + k * size; };
  return {w, b, at(0), at(1), at(2), at(3), at(4), at(5), at(6), {at(7), at(8), at(9), at(10), at(11), at(12)}};
}

// Threads of a block, one for each line of usual tiles, and blocks that share a multiprocessor: with loads that run ahead
// (Walk) these keep its memory busy, and more would spill registers.
constexpr int kNodeThreads = 128, kNodeBlocks = 3;

// f(block) for `blocks` blocks with a thread for each line, as far as there are so many.
template <class F>
void ForNodeBlocks(const char* op, const NodeLines& lines, int64_t blocks, const F& f, void* stream) {
  constexpr int kMany = 512;
  if (std::max(lines.rows, lines.cols) <= kNodeThreads) {
    ForBlocks<kNodeThreads, kNodeBlocks>(op, blocks, BlockLinesBytes(kNodeThreads), f, stream);
  } else {
    ForBlocks<kMany>(op, blocks, BlockLinesBytes(kMany), f, stream);
  }
}

}  // namespace memtorch::cuda

#endif  // MEMTORCH_ENGINE_CUDA_NODE_BLOCKS_H_
