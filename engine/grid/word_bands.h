// Bands of word lines, solved side by side, for the kernels of nodes.
#ifndef MEMTORCH_ENGINE_GRID_WORD_BANDS_H_
#define MEMTORCH_ENGINE_GRID_WORD_BANDS_H_

#include <type_traits>

#include "engine/grid/node_kernels.h"
#include "engine/grid/vector.h"

namespace memtorch {
namespace MT_ISA {

using NodeVector = Vector<double>;
constexpr int kNodesWide = kLanes<double>;  // word lines of a band

// The elimination of one node: what lies towards the open end leaves `beyond`, the next segment is `towards`. Nothing is
// subtracted, as in the joining of blocks: pivots are sums from the open end on.
MT_HD NodeVector Ratio(NodeVector g, NodeVector* beyond, double towards) {
  const NodeVector here = g + *beyond;
  const NodeVector ratio = towards / (here + towards);
  *beyond = here * ratio;
  return ratio;
}
// The last one of a line. A line that nothing is connected to stays at 0 V.
MT_HD NodeVector LastRatio(NodeVector g, NodeVector beyond, NodeVector end, double segment) {
  const NodeVector pivot = g + beyond + end;
  const NodeVector some = pivot > kNothing<double> ? pivot : 1 - NodeVector{};
  return pivot > kNothing<double> ? segment / some : NodeVector{};
}

// The ratios of kCount bands from row i on.
template <int kCount>
MT_HD void FactorBands(const Lines& lines, int64_t i) {
  const int64_t stride = lines.stride;
  NodeVector beyond[kCount];
#pragma GCC unroll 16
  for (int c = 0; c < kCount; ++c) beyond[c] = *AsVector(lines.far + i + c * kNodesWide);
  for (int64_t j = stride - kNodesWide; j >= 0; j -= kNodesWide) {
    NodeVector g[kCount][kNodesWide];
#pragma GCC unroll 16
    for (int c = 0; c < kCount; ++c) {
#pragma GCC unroll 16
      for (int r = 0; r < kNodesWide; ++r) g[c][r] = *AsVector(lines.g + (i + c * kNodesWide + r) * stride + j);
      Transpose<double>(g[c]);
    }
#pragma GCC unroll 16
    for (int k = kNodesWide - 1; k >= 0; --k) {
#pragma GCC unroll 16
      for (int c = 0; c < kCount; ++c) {
        NodeVector* ratio = AsVector(lines.word_ratio + (i + c * kNodesWide) * stride) + j + k;
        if (j + k >= lines.cols) {
          *ratio = 1 - NodeVector{};  // padding passes on what comes from the right
        } else if (j + k > 0) {
          *ratio = Ratio(g[c][k], &beyond[c], lines.word);
        } else {
          *ratio = LastRatio(g[c][k], beyond[c], *AsVector(lines.source + i + c * kNodesWide), lines.word);
        }
      }
    }
  }
}

// Calls body(count, i) for bands of word lines from row i on, `count` of them as a constant, upwards or downwards.
template <class Body>
MT_HD void ForBandsDown(const Lines& lines, const Body& body) {
  int64_t i = 0;
  for (; i + (kNodeBands - 1) * kNodesWide < lines.rows; i += kNodeBands * kNodesWide) {
    body(std::integral_constant<int, kNodeBands>(), i);
  }
  for (; i < lines.rows; i += kNodesWide) body(std::integral_constant<int, 1>(), i);
}
template <class Body>
MT_HD void ForBandsUp(const Lines& lines, const Body& body) {
  int64_t i = (lines.rows + kNodesWide - 1) / kNodesWide * kNodesWide;
  for (; i % (kNodeBands * kNodesWide) != 0; i -= kNodesWide) body(std::integral_constant<int, 1>(), i - kNodesWide);
  for (; i > 0; i -= kNodeBands * kNodesWide) {
    body(std::integral_constant<int, kNodeBands>(), i - kNodeBands * kNodesWide);
  }
}

// Solves the word lines of kCount bands from row i on: load(r, j) gives kNodesWide of the right side of row i + r from
// column j, and store(r, j, x) takes the solution, times lines.word, from the left to the right. first(i) and last(i)
// enter at the ends of the band from row i on. Columns of the bands in between stand in lines.scratch.
template <int kCount, class Load, class Store, class First, class Last>
MT_HD void SolveBands(const Lines& lines, int64_t i, const First& first, const Last& last, const Load& load,
                      const Store& store) {
  const int64_t stride = lines.stride;
  const NodeVector* ratio[kCount];
  NodeVector* line[kCount];
  NodeVector before[kCount], passed[kCount];
#pragma GCC unroll 16
  for (int c = 0; c < kCount; ++c) {
    ratio[c] = AsVector(lines.word_ratio + (i + c * kNodesWide) * stride);
    line[c] = AsVector(lines.scratch + c * kNodesWide * stride);
    before[c] = last(i + c * kNodesWide);
    passed[c] = 1 - NodeVector{};
  }
  for (int64_t j = stride - kNodesWide; j >= 0; j -= kNodesWide) {
    NodeVector square[kCount][kNodesWide];
#pragma GCC unroll 16
    for (int c = 0; c < kCount; ++c) {
#pragma GCC unroll 16
      for (int r = 0; r < kNodesWide; ++r) square[c][r] = load(c * kNodesWide + r, j);
      Transpose<double>(square[c]);
    }
#pragma GCC unroll 16
    for (int k = kNodesWide - 1; k >= 0; --k) {
#pragma GCC unroll 16
      for (int c = 0; c < kCount; ++c) {
        before[c] = before[c] * passed[c] + square[c][k];
        passed[c] = ratio[c][j + k];
        line[c][j + k] = before[c];
      }
    }
  }
#pragma GCC unroll 16
  for (int c = 0; c < kCount; ++c) {
    line[c][0] += first(i + c * kNodesWide);
    before[c] = NodeVector{};
  }
  for (int64_t j = 0; j < stride; j += kNodesWide) {
    NodeVector square[kCount][kNodesWide];
#pragma GCC unroll 16
    for (int k = 0; k < kNodesWide; ++k) {
#pragma GCC unroll 16
      for (int c = 0; c < kCount; ++c) {
        before[c] = before[c] * passed[c] + line[c][j + k];
        passed[c] = ratio[c][j + k];
        square[c][k] = before[c] * passed[c];
      }
    }
#pragma GCC unroll 16
    for (int c = 0; c < kCount; ++c) {
      Transpose<double>(square[c]);
#pragma GCC unroll 16
      for (int r = 0; r < kNodesWide; ++r) store(c * kNodesWide + r, j, square[c][r]);
    }
  }
}

}  // namespace MT_ISA
}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_GRID_WORD_BANDS_H_
