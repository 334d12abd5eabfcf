#include "engine/grid/grid.h"

namespace memtorch {
namespace {

void CheckResistance(const char* op, const char* name, double ohm) {
  if (!(ohm >= 0 && ohm <= kMaxWireOhm)) {
    Invalid(op, name, " (", ohm, " ohm) must be in [0, ", kMaxWireOhm, "]");
  }
}

}  // namespace

void CheckWires(const char* op, const Wires& wires) {
  CheckResistance(op, "word", wires.word);
  CheckResistance(op, "bit", wires.bit);
  CheckResistance(op, "source", wires.source);
  CheckResistance(op, "load", wires.load);
}

void CheckGridShape(const char* op, int64_t rows, int64_t cols, const Wires& wires) {
  if (rows < 1) Invalid(op, "rows (", rows, ") must be at least 1");
  if (cols < 1) Invalid(op, "cols (", cols, ") must be at least 1");
  CheckWires(op, wires);
}

template <class T>
void CheckConductances(const char* op, const GridView<const T>& g) {
  for (int64_t t = 0; t < g.tiles; ++t) {
    for (int64_t i = 0; i < g.rows; ++i) {
      const T* row = g.row(t, i);
      bool good = true;
      for (int64_t j = 0; j < g.cols; ++j) good &= row[j] >= 0 && row[j] <= static_cast<T>(kMaxSiemens);
      for (int64_t j = 0; !good && j < g.cols; ++j) {
        if (!(row[j] >= 0 && row[j] <= static_cast<T>(kMaxSiemens))) {
          Invalid(op, "g[", t, ", ", i, ", ", j, "] (", row[j], " S) must be in [0, ", kMaxSiemens, "]");
        }
      }
    }
  }
}

template void CheckConductances(const char*, const GridView<const float>&);
template void CheckConductances(const char*, const GridView<const double>&);

}  // namespace memtorch
