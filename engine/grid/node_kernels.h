// Passes over the nodes of a grid, one table per instruction set (engine/simd.h). A line of nodes with its devices is a
// tridiagonal system; word lines are solved side by side, and so are bit lines.
//
// With W and B the matrices of all word lines and of all bit lines, B = L D L' with unit lower factors L, the circuit
//   W w = g b + flow into word nodes,   B b = g w + flow into bit nodes
// becomes (I - L^-1 g W^-1 g L'^-1 D^-1) x = r for x = D L' b. This is what conjugate gradients solve, in the product
// x D^-1 y: each bit line is solved exactly, and no conductance of a wire multiplies a difference of potentials.
#ifndef MEMTORCH_ENGINE_GRID_NODE_KERNELS_H_
#define MEMTORCH_ENGINE_GRID_NODE_KERNELS_H_

#include <cstdint>

#include "engine/simd.h"

namespace memtorch {

// The lines of a grid and their factors. Arrays of nodes are [rows, stride], rounded up to the lanes in both
// directions with devices of 0 S, and aligned to 64 bytes, as all arrays are.
struct Lines {
  int64_t rows, cols, stride;
  double word, bit;      // conductances of the segments, siemens
  const double* source;  // [rows] of each driver at the left
  const double* far;     // [rows] of each driver at the right, 0: open
  const double* load;    // [stride] of each sense at the bottom
  const double* top;     // [stride] of each sense at the top, 0: open
  double* g;             // nodes: devices
  double* bit_ratio;     // nodes: of a segment to the pivot, bit D^-1
  double* word_ratio;    // [rows / lanes, stride, lanes]: likewise
  double* scratch;       // [NodeScratch(stride, lanes)]
};

// Bands of `lanes` word lines that are solved at a time: each waits for one sum after the other, and two wait together.
// More of them leave the first level of cache.
constexpr int kNodeBands = 2;
inline int64_t NodeScratch(int64_t stride, int lanes) { return stride * (2 * kNodeBands * lanes + 1); }

// What enters the nodes besides what devices carry; any may be null.
struct Inflow {
  const double* word;        // nodes, amperes
  const double* bit;         // likewise
  const double* word_volts;  // [rows] of the sources
  const double* bit_volts;   // [stride]
};

// The largest amperes of a solution of all bit lines.
struct BitLargest {
  double lacking;  // at a word node
  double current;  // through a device
  double term;     // g w, of whose differences with g b currents are made, or current
};

// Newton's method: potentials, and amperes that wires bring to word nodes and take from bit nodes; or changes of these.
struct NodeState {
  double *w, *b, *bring, *take;
};

// Over nodes, of what it has left.
struct NodeSums {
  double lacking, largest;  // amperes at a node, and through a device
  double squares;           // of what is lacking
};

struct NodeKernels {
  int lanes;
  // Fills the ratios from g.
  void (*factor)(const Lines& lines);
  // r = L^-1 (flow into bit nodes + g W^-1 flow into word nodes), what potentials b of 0 leave. Returns r D^-1 r, and
  // the largest |g w|.
  double (*start)(const Lines& lines, const Inflow& in, double* r, double* current);
  // p = r + ratio p, with b = L'^-1 D^-1 p: t = g W^-1 g b, scaled. Returns p D^-1 p - b t; ratio 0: and the largest
  // |g b|.
  double (*turn)(const Lines& lines, double ratio, const double* r, double* p, double* t, double* change);
  // x += step p, r -= step (p - L^-1 t). Returns r D^-1 r.
  double (*advance)(const Lines& lines, double step, const double* p, const double* t, double* x, double* r);
  // b += L'^-1 D^-1 x (x null: 0), and w as Kirchhoff's law demands at all word nodes.
  void (*word)(const Lines& lines, const Inflow& in, const double* x, double* b, double* w);
  // b as it demands at all bit nodes; change = g times the change of b, which word nodes lack from now on, and
  // flow = g (w - b) + flow into bit nodes.
  BitLargest (*bit)(const Lines& lines, const Inflow& in, const double* w, double* b, double* change, double* flow);
  // Of n nodes: state += part change, v = w - b. part 0: change is not read. part 1: change.bring holds what word nodes
  // will lack, bring less take, and becomes the change that leads there.
  void (*move)(int64_t n, double part, const NodeState& change, const NodeState& state, double* v);
  // Of n nodes: what the devices' currents leave to enter word nodes and bit nodes. With v the slopes become those of the
  // chords from 0 V. All are put into [0, kMaxSiemens].
  void (*judge)(int64_t n, const NodeState& state, const double* v, const double* current, double* slope,
                double* into_word, double* into_bit, NodeSums* sums);
};

namespace baseline {
extern const NodeKernels kNodes;
}  // namespace baseline
namespace avx2 {
extern const NodeKernels kNodes;
}  // namespace avx2
namespace avx512 {
extern const NodeKernels kNodes;
}  // namespace avx512

inline const NodeKernels& ActiveNodeKernels() { return Select(baseline::kNodes, avx2::kNodes, avx512::kNodes); }

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_GRID_NODE_KERNELS_H_
