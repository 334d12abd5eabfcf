// Passes over the nodes of a grid, one table per instruction set (engine/simd.h). A line of nodes with its devices is a
// tridiagonal system; all word lines are solved side by side, and so are all bit lines.
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
  double* bit_inverse;   // nodes
  double* g_lanes;       // [rows / lanes, stride, lanes]
  double* word_inverse;  // likewise
};

struct NodeKernels {
  int lanes;
  // Fills all but g.
  void (*factor)(const Lines& lines);
  // What word lines do when their devices lead to potentials p and `into` (may be null; amperes) enters the nodes:
  //   w = W^-1 (source v + far v + g p + into), v [rows] (null: 0).  `line` [stride, lanes] is scratch.
  void (*word)(const Lines& lines, const double* p, const double* v, const double* into, double* line, double* w);
  // q = u - g W^-1 g p; returns p q.
  double (*image)(const Lines& lines, const double* p, const double* u, double* line, double* q);
  // b = B^-1 (load v + top v + r), v [stride] (null: 0); returns r b.
  double (*bit)(const Lines& lines, const double* r, const double* v, double* b);
  // x += step p, r -= step q; and p = z + ratio p, u = r + ratio u; over all nodes.
  void (*advance)(const Lines& lines, double step, const double* p, const double* q, double* x, double* r);
  void (*turn)(const Lines& lines, double ratio, const double* z, const double* r, double* p, double* u);
  // r = g p + into (null: 0)
  void (*flow)(const Lines& lines, const double* p, const double* into, double* r);
  // z = b - z; the largest |g z|, and the largest |g (w - b) + into|.
  void (*change)(const Lines& lines, const double* w, const double* b, const double* into, double* z, double* lacking,
                 double* current);
  // out = from + part (to - from)
  void (*blend)(const Lines& lines, double part, const double* from, const double* to, double* out);
  // into = current - g v, out_of = -into
  void (*chord)(const Lines& lines, const double* current, const double* v, double* into, double* out_of);
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
