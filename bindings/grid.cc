// Crossbars with resistive wires.

#include "engine/cuda/grid.h"

#include <nanobind/stl/optional.h>

#include <memory>
#include <mutex>
#include <optional>

#include "bindings/arrays.h"
#include "bindings/place.h"
#include "engine/cuda/nodes.h"
#include "engine/grid/branches.h"
#include "engine/grid/nodes.h"
#include "engine/grid/solver.h"

namespace memtorch {
namespace {

using namespace nb::literals;

template <class T, class Array>
GridView<T> ViewOf(const char* op, const char* name, const Array& array) {
  if (array.ndim() != 3) Invalid(op, name, " must have shape [tiles, rows, cols]");
  return {static_cast<T*>(array.data()), static_cast<int64_t>(array.shape(0)), static_cast<int64_t>(array.shape(1)),
          static_cast<int64_t>(array.shape(2))};
}

// Solvers of both precisions for one shape and its wires, each made when it is first needed.
class Solvers {
 public:
  Solvers(int64_t rows, int64_t cols, double word, double bit, double source, double load, bool drive_both,
          bool sense_both)
      : rows_(rows), cols_(cols), wires_{word, bit, source, load, drive_both, sense_both} {
    CheckGridShape("grid_solver", rows, cols, wires_);
  }

  // Devices with I = g sinh(steepness v) / steepness; 0: linear.
  void Nodes(const Placed<const double>& g, const Placed<const double>& word_volts,
             const std::optional<Placed<const double>>& bit_volts, const Placed<double>& word_nodes,
             const Placed<double>& bit_nodes, const Placed<double>& residual, double steepness, double tolerance,
             bool warm, const std::optional<Placed<const bool>>& word_open,
             const std::optional<Placed<const bool>>& bit_open, const std::optional<Placed<uint8_t>>& workspace) {
    const char* op = "solve_nodes";
    const Place place(op, g, word_volts, bit_volts, word_nodes, bit_nodes, residual, word_open, bit_open, workspace);
    const int64_t vectors = static_cast<int64_t>(residual.size()), cells = rows_ * cols_;
    CheckSize(op, "g", g, cells);
    CheckSize(op, "word_nodes", word_nodes, vectors * cells);
    CheckSize(op, "bit_nodes", bit_nodes, vectors * cells);
    const GridSources sources = Sources(op, vectors, word_volts, bit_volts, word_open, bit_open);
    const GridNodes nodes{word_nodes.data(), bit_nodes.data(), residual.data()};
    const NodeOptions options{tolerance, warm};
    const MatrixView<const double> devices{g.data(), rows_, cols_, cols_};
    place.Run(
        [&](void* stream) {
          void* memory = WorkspaceOf(op, workspace, NodesWorkspace(vectors, steepness == 0));
          if (steepness == 0) {
            cuda::SolveNodes(devices, wires_, sources, options, nodes, memory, stream);
          } else {
            cuda::SolveNodes(cuda::SinhDevices{devices, steepness}, wires_, sources, options, nodes, memory, stream);
          }
        },
        [&] {
          if (steepness == 0) {
            Get<double>().SolveNodes(devices, sources, options, nodes);
          } else {
            SolveNodes(rows_, cols_, SinhCurve(devices, steepness), wires_, sources, options, nodes);
          }
        });
  }

  int64_t NodesWorkspace(int64_t vectors, bool linear) const {
    return cuda::SolveNodesWorkspaceBytes(rows_, cols_, vectors, linear);
  }

  void Branches(const Flat<const double>& device, const Flat<double>& word, const Flat<double>& bit,
                const std::optional<Flat<const bool>>& word_open,
                const std::optional<Flat<const bool>>& bit_open) const {
    const char* op = "branches";
    CheckSize(op, "device", device, rows_ * cols_);
    CheckSize(op, "word", word, rows_ * (cols_ + 1));
    CheckSize(op, "bit", bit, (rows_ + 1) * cols_);
    GridSources sources;
    SetOpen(op, word_open, bit_open, &sources);
    SolveBranches(rows_, cols_, device.data(), wires_, sources, {word.data(), bit.data()});
  }

  // Bytes that a GPU needs beside the arrays to solve `tiles` tiles: in one precision or the other, forwards or for the
  // gradient.
  int64_t Workspace(int64_t tiles, bool single, bool gradient) {
    const auto bytes = [&](const auto& solver) {
      return gradient ? solver.GradientWorkspaceBytes(tiles) : solver.EffectiveMatrixWorkspaceBytes(tiles);
    };
    return single ? bytes(GetCuda<float>()) : bytes(GetCuda<double>());
  }

  void Gradient(const AnyPlaced& g, const AnyPlaced& upstream, const AnyPlaced& gradient,
                const std::optional<Placed<uint8_t>>& workspace) {
    const char* op = "grid_gradient";
    const Place place(op, g, upstream, gradient, workspace);
    if (upstream.dtype() != gradient.dtype()) Invalid(op, "upstream and gradient must have the same dtype");
    WithFloatType(op, "gradient", gradient, [&](auto type) {
      using T = decltype(type);
      WithFloatType(op, "g", g, [&](auto g_type) {
        using G = decltype(g_type);
        const GridView<const G> devices = ViewOf<const G>(op, "g", g);
        const GridView<const T> weights = ViewOf<const T>(op, "upstream", upstream);
        const GridView<T> result = ViewOf<T>(op, "gradient", gradient);
        place.Run(
            [&](void* stream) {
              GetCuda<T>().Gradient(devices, weights, result, DataOf(workspace), SizeOf(workspace), stream);
            },
            [&] { Get<T>().Gradient(devices, weights, result); });
      });
    });
  }

  void WireGradient(const AnyFlat& g, const Flat<const double>& upstream, const Flat<double>& gradient,
                    double tolerance) {
    const char* op = "grid_wire_gradient";
    const int64_t tiles = static_cast<int64_t>(gradient.size()) / 4;
    CheckSize(op, "gradient", gradient, 4 * tiles);
    CheckSize(op, "upstream", upstream, tiles * rows_ * cols_);
    WithFloatType(op, "g", g, [&](auto g_type) {
      using G = decltype(g_type);
      const GridView<const G> devices = ViewOf<const G>(op, "g", g);
      nb::gil_scoped_release unlocked;
      Get<double>().WireGradient(devices, GridView<const double>(upstream.data(), tiles, rows_, cols_), tolerance,
                                 MatrixView<double>{gradient.data(), tiles, 4, 4});
    });
  }

  void Verify(const AnyFlat& g, const AnyFlat& effective, const Flat<double>& residual, double tolerance) {
    const char* op = "effective_matrix";
    WithFloatType(op, "effective", effective, [&](auto type) {
      using T = decltype(type);
      WithFloatType(op, "g", g, [&](auto g_type) {
        using G = decltype(g_type);
        const GridView<const G> devices = ViewOf<const G>(op, "g", g);
        const GridView<const T> solved = ViewOf<const T>(op, "effective", effective);
        CheckSize(op, "residual", residual, devices.tiles);
        const GridSolver<T>& solver = Get<T>();
        nb::gil_scoped_release unlocked;
        solver.Verify(devices, solved, tolerance, residual.data());
      });
    });
  }

  void EffectiveMatrix(const AnyPlaced& g, const AnyPlaced& out, const std::optional<Placed<uint8_t>>& workspace) {
    const char* op = "effective_matrix";
    const Place place(op, g, out, workspace);
    WithFloatType(op, "out", out, [&](auto out_type) {
      using T = decltype(out_type);
      WithFloatType(op, "g", g, [&](auto g_type) {
        using G = decltype(g_type);
        const GridView<const G> devices = ViewOf<const G>(op, "g", g);
        const GridView<T> result = ViewOf<T>(op, "out", out);
        place.Run(
            [&](void* stream) {
              GetCuda<T>().EffectiveMatrix(devices, result, DataOf(workspace), SizeOf(workspace), stream);
            },
            [&] { Get<T>().EffectiveMatrix(devices, result); });
      });
    });
  }

 private:
  template <class Flags>
  void SetOpen(const char* op, const std::optional<Flags>& word_open, const std::optional<Flags>& bit_open,
               GridSources* sources) const {
    if (word_open) {
      CheckSize(op, "word_open", *word_open, rows_);
      sources->word_open = word_open->data();
    }
    if (bit_open) {
      CheckSize(op, "bit_open", *bit_open, cols_);
      sources->bit_open = bit_open->data();
    }
  }

  GridSources Sources(const char* op, int64_t vectors, const Placed<const double>& word_volts,
                      const std::optional<Placed<const double>>& bit_volts,
                      const std::optional<Placed<const bool>>& word_open,
                      const std::optional<Placed<const bool>>& bit_open) const {
    GridSources sources;
    CheckSize(op, "word_volts", word_volts, vectors * rows_);
    sources.word = {word_volts.data(), vectors, rows_, rows_};
    if (bit_volts) {
      CheckSize(op, "bit_volts", *bit_volts, vectors * cols_);
      sources.bit = {bit_volts->data(), vectors, cols_, cols_};
    }
    SetOpen(op, word_open, bit_open, &sources);
    return sources;
  }

  static void* DataOf(const std::optional<Placed<uint8_t>>& workspace) {
    return workspace ? workspace->data() : nullptr;
  }
  static int64_t SizeOf(const std::optional<Placed<uint8_t>>& workspace) {
    return workspace ? static_cast<int64_t>(workspace->size()) : 0;
  }

  // The solver, made when it is first needed.
  template <class Solver>
  const Solver& Made(std::unique_ptr<Solver>* solver) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (*solver == nullptr) *solver = std::make_unique<Solver>(rows_, cols_, wires_);
    return **solver;
  }
  template <class T>
  const GridSolver<T>& Get() {
    if constexpr (sizeof(T) == sizeof(double)) {
      return Made(&double_);
    } else {
      return Made(&single_);
    }
  }
  template <class T>
  const cuda::GridSolver<T>& GetCuda() {
    if constexpr (sizeof(T) == sizeof(double)) {
      return Made(&cuda_double_);
    } else {
      return Made(&cuda_single_);
    }
  }

  int64_t rows_, cols_;
  Wires wires_;
  std::mutex mutex_;
  std::unique_ptr<GridSolver<double>> double_;
  std::unique_ptr<GridSolver<float>> single_;
  std::unique_ptr<cuda::GridSolver<double>> cuda_double_;
  std::unique_ptr<cuda::GridSolver<float>> cuda_single_;
};

int64_t BindProductKernel(int64_t repeats, bool single) {
  nb::gil_scoped_release unlocked;
  return single ? RunProductKernel<float>(repeats) : RunProductKernel<double>(repeats);
}

}  // namespace

void BindGrid(nb::module_& m) {
  m.def(
      "run_product_kernel", &BindProductKernel, "repeats"_a, "single"_a,
      "Runs the solver's product kernel from the first-level cache; returns the number of operations. For benchmarks.");
  nb::class_<Solvers>(m, "GridSolver",
                      "Exact solver for crossbars of one shape with resistive wires, ohm; it keeps the memory of a "
                      "solution for the next one.")
      .def(nb::init<int64_t, int64_t, double, double, double, double, bool, bool>(), "rows"_a, "cols"_a, "word"_a,
           "bit"_a, "source"_a, "load"_a, "drive_both"_a = false, "sense_both"_a = false)
      .def("effective_matrix", &Solvers::EffectiveMatrix, "g"_a, "out"_a.noconvert(),
           "workspace"_a.noconvert() = nb::none(),
           "Effective conductances out [tiles, rows, cols] of devices g [tiles, rows, cols], siemens: currents = "
           "voltages @ out. The dtype of out is the precision inside. On a GPU, memory for `workspace` bytes.")
      .def(
          "verify", &Solvers::Verify, "g"_a, "effective"_a, "residual"_a.noconvert(), "tolerance"_a,
          "Residual [tiles] of an effective matrix: what its currents lack of those of the potentials of all nodes, in "
          "parts of the largest current. RuntimeError where it is above the tolerance.")
      .def("gradient", &Solvers::Gradient, "g"_a, "upstream"_a, "gradient"_a.noconvert(),
           "workspace"_a.noconvert() = nb::none(),
           "Gradient [tiles, rows, cols] with respect to g of the sum of upstream [tiles, rows, cols] times the "
           "effective matrix, element by element. On a GPU, memory for `workspace` bytes.")
      .def("wire_gradient", &Solvers::WireGradient, "g"_a, "upstream"_a, "gradient"_a.noconvert(),
           "tolerance"_a = 1e-10,
           "Gradient [tiles, 4] of the same sum with respect to word, bit, source and load resistance of each tile. "
           "RuntimeError where the residual of a potential stays above the tolerance.")
      .def("workspace", &Solvers::Workspace, "tiles"_a, "single"_a, "gradient"_a,
           "Bytes of memory that a GPU needs beside the arrays: for effective_matrix or gradient of so many tiles, the "
           "more the faster, with float32 or float64 inside.")
      .def("solve_nodes", &Solvers::Nodes, "g"_a, "word_volts"_a, "bit_volts"_a.none(), "word_nodes"_a.noconvert(),
           "bit_nodes"_a.noconvert(), "residual"_a.noconvert(), "steepness"_a = 0.0, "tolerance"_a = 1e-10,
           "warm"_a = false, "word_open"_a = nb::none(), "bit_open"_a = nb::none(),
           "workspace"_a.noconvert() = nb::none(),
           "Potentials word_nodes and bit_nodes [vectors, rows, cols], volts, of devices g [rows, cols] under "
           "word_volts "
           "[vectors, rows] and bit_volts [vectors, cols] (None: 0 V); I = g sinh(steepness v) / steepness unless "
           "steepness is 0. RuntimeError where the residual [vectors] stays above the tolerance; a GPU, which is not "
           "waited for, leaves it to the caller to look, and needs a workspace.")
      .def("nodes_workspace", &Solvers::NodesWorkspace, "vectors"_a, "linear"_a,
           "Bytes of the workspace that solve_nodes of so many vectors needs on a GPU.")
      .def("branches", &Solvers::Branches, "device"_a, "word"_a.noconvert(), "bit"_a.noconvert(),
           "word_open"_a = nb::none(), "bit_open"_a = nb::none(),
           "Currents word [rows, cols + 1], rightwards, and bit [rows + 1, cols], downwards, of device currents "
           "[rows, cols], amperes.");
}

}  // namespace memtorch
