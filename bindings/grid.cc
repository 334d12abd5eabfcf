// Crossbars with resistive wires.

#include <memory>

#include "bindings/arrays.h"
#include "engine/grid/solver.h"

namespace memtorch {
namespace {

using namespace nb::literals;

template <class T>
GridView<T> ViewOf(const char* op, const char* name, const AnyFlat& array) {
  if (array.ndim() != 3) Invalid(op, name, " must have shape [tiles, rows, cols]");
  return {static_cast<T*>(array.data()), static_cast<int64_t>(array.shape(0)), static_cast<int64_t>(array.shape(1)),
          static_cast<int64_t>(array.shape(2))};
}

// Solvers of both precisions for one shape and its wires, each made when it is first needed.
class Solvers {
 public:
  Solvers(int64_t rows, int64_t cols, double word, double bit, double source, double load, bool drive_both,
          bool sense_both)
      : rows_(rows),
        cols_(cols),
        wires_{word, bit, source, load, drive_both, sense_both},
        double_(std::make_unique<GridSolver<double>>(rows, cols, wires_)) {}

  void EffectiveMatrix(const AnyFlat& g, const AnyFlat& out) {
    const char* op = "effective_matrix";
    WithFloatType(op, "out", out, [&](auto out_type) {
      using T = decltype(out_type);
      WithFloatType(op, "g", g, [&](auto g_type) {
        using G = decltype(g_type);
        const GridView<const G> devices = ViewOf<const G>(op, "g", g);
        const GridView<T> result = ViewOf<T>(op, "out", out);
        const GridSolver<T>& solver = Get<T>();
        nb::gil_scoped_release unlocked;
        solver.EffectiveMatrix(devices, result);
      });
    });
  }

 private:
  template <class T>
  const GridSolver<T>& Get() {
    if constexpr (sizeof(T) == sizeof(double)) {
      return *double_;
    } else {
      if (single_ == nullptr) single_ = std::make_unique<GridSolver<float>>(rows_, cols_, wires_);
      return *single_;
    }
  }

  int64_t rows_, cols_;
  Wires wires_;
  std::unique_ptr<GridSolver<double>> double_;
  std::unique_ptr<GridSolver<float>> single_;
};

}  // namespace

void BindGrid(nb::module_& m) {
  nb::class_<Solvers>(m, "GridSolver",
                      "Exact solver for crossbars of one shape with resistive wires, ohm; it keeps the memory of a "
                      "solution for the next one.")
      .def(nb::init<int64_t, int64_t, double, double, double, double, bool, bool>(), "rows"_a, "cols"_a, "word"_a,
           "bit"_a, "source"_a, "load"_a, "drive_both"_a = false, "sense_both"_a = false)
      .def("effective_matrix", &Solvers::EffectiveMatrix, "g"_a, "out"_a.noconvert(),
           "Effective conductances out [tiles, rows, cols] of devices g [tiles, rows, cols], siemens: currents = "
           "voltages @ out. The dtype of out is the precision inside.");
}

}  // namespace memtorch
