// One crossbar as an electrical circuit: its devices, its wires, and what of it may be given.
//
// Word line i is driven at its left end through the source resistance, bit line j is sensed at its bottom end through
// the load resistance; the other ends are open, or driven and sensed as well:
//
//   V_i --source-- w_i0 --word-- w_i1 --word-- ...        device (i, j): w_ij to b_ij
//                                                         b_ij --bit-- b_i+1,j ... b_last,j --load-- sense j
#ifndef MEMTORCH_ENGINE_GRID_GRID_H_
#define MEMTORCH_ENGINE_GRID_GRID_H_

#include <vector>

#include "engine/core.h"

namespace memtorch {

// Resistances in ohm; 0 is an ideal wire.
struct Wires {
  double word = 0;          // of one segment of a word line, between neighbouring nodes
  double bit = 0;           // of one segment of a bit line
  double source = 0;        // between a driver and its first node
  double load = 0;          // between the last node of a bit line and its sense end
  bool drive_both = false;  // word lines are driven at their right ends too, through `source`, with the same voltage
  bool sense_both = false;  // bit lines are sensed at their top ends too, through `load`; their currents are added
};

// Matrices of equal shape, [tiles, rows, cols]: element (t, i, j) is data[t * tile_stride + i * stride + j].
template <class T>
struct GridView {
  T* data = nullptr;
  int64_t tiles = 0;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;
  int64_t tile_stride = 0;

  GridView() = default;
  // Without gaps.
  GridView(T* values, int64_t count, int64_t m, int64_t n)
      : data(values), tiles(count), rows(m), cols(n), stride(n), tile_stride(m * n) {}

  MT_HD T* row(int64_t tile, int64_t i) const { return data + tile * tile_stride + i * stride; }
};

// A tile without gaps, in double.
template <class T>
std::vector<double> CopyOfTile(const GridView<const T>& view, int64_t tile) {
  std::vector<double> values;
  for (int64_t i = 0; i < view.rows; ++i) values.insert(values.end(), view.row(tile, i), view.row(tile, i) + view.cols);
  return values;
}

// One matrix as a batch.
template <class T>
GridView<T> ViewOfOne(const MatrixView<T>& g) {
  GridView<T> view(g.data, 1, g.rows, g.cols);
  view.stride = g.stride;
  return view;
}

// Bounds on what a circuit may hold. Within them no intermediate value of a float32 solution overflows.
constexpr double kMaxWireOhm = 1e12;
constexpr double kMaxSiemens = 1e6;
constexpr double kMaxVolts = 1e6;
// An ideal wire, and a resistance below it, counts as this: at 1024x1024 with devices of kMaxSiemens it moves currents
// by 1e-18 of themselves, below the rounding of either precision. The elimination loses nothing to such a ratio.
constexpr double kIdealWireOhm = 1e-30;

// Conductance of a wire, siemens.
inline double WireSiemens(double ohm) { return 1 / (ohm > kIdealWireOhm ? ohm : kIdealWireOhm); }

// Throw std::invalid_argument: a resistance outside [0, kMaxWireOhm], a conductance outside [0, kMaxSiemens].
void CheckWires(const char* op, const Wires& wires);
void CheckGridShape(const char* op, int64_t rows, int64_t cols, const Wires& wires);  // at least one of each, wires too
template <class T>
void CheckConductances(const char* op, const GridView<const T>& g);

// Throws std::invalid_argument unless the view has this shape.
template <class T>
void CheckShape(const char* op, const char* name, const GridView<T>& view, int64_t tiles, int64_t rows, int64_t cols) {
  if (view.tiles == tiles && view.rows == rows && view.cols == cols) return;
  Invalid(op, name, " ([", view.tiles, ", ", view.rows, ", ", view.cols, "]) must have shape [", tiles, ", ", rows,
          ", ", cols, "]");
}

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_GRID_GRID_H_
