// Programming of devices by pulses.

#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "bindings/columns.h"
#include "engine/cuda/program.h"
#include "engine/program.h"
#include "engine/program_checks.h"

namespace memtorch {
namespace {

using namespace nb::literals;

// Arrays [size] of a write, beside the columns of its devices.
struct ProgramArrays {
  Placed<const double> target;
  Placed<const bool> selected;
  Placed<int64_t> pulses;
  Placed<double> error;
  Placed<uint8_t> outcome;
  Placed<int64_t> forced;
};

ProgramReport ReportOf(const char* op, const ProgramArrays& arrays, int64_t size, Place* place) {
  place->AddAll(arrays.target, arrays.selected, arrays.pulses, arrays.error, arrays.outcome, arrays.forced);
  CheckSize(op, "target", arrays.target, size);
  CheckSize(op, "selected", arrays.selected, size);
  CheckSize(op, "pulses", arrays.pulses, size);
  CheckSize(op, "error", arrays.error, size);
  CheckSize(op, "outcome", arrays.outcome, size);
  CheckSize(op, "forced", arrays.forced, size);
  return {arrays.pulses.data(), arrays.error.data(), reinterpret_cast<Outcome*>(arrays.outcome.data()),
          arrays.forced.data()};
}

TileShape ShapeOf(const std::tuple<int64_t, int64_t, int64_t>& shape) {
  return {std::get<0>(shape), std::get<1>(shape), std::get<2>(shape)};
}

void BindProgram(const std::string& model, const nb::list& params, const PlacedStates& state, const AnyPlaced& g,
                 const std::tuple<int64_t, int64_t, int64_t>& shape, const Placed<const double>& target,
                 const Placed<const bool>& selected, const Placed<int64_t>& pulses, const Placed<double>& error,
                 const Placed<uint8_t>& outcome, const Placed<int64_t>& forced, const ProgramOptions& options,
                 const std::optional<AnyPlaced>& stuck, const std::optional<Placed<double>>& residual,
                 const std::optional<Placed<uint8_t>>& workspace) {
  const char* op = "program";
  Columns columns = FullColumns(op, model, params, state, g, stuck);
  const ProgramArrays arrays{target, selected, pulses, error, outcome, forced};
  const ProgramReport report = ReportOf(op, arrays, columns.view().size, &columns.place());
  columns.place().AddAll(residual, workspace);
  const TileShape tiles = ShapeOf(shape);
  const uint8_t* cells = reinterpret_cast<const uint8_t*>(selected.data());
  columns.place().Run(
      [&](void* stream) {
        if (IsSolved(options) && !residual) Invalid(op, "residual must be given on a GPU that solves voltages");
        if (residual) CheckSize(op, "residual", *residual, tiles.tiles);
        CheckTileShape(columns.view(), tiles);
        void* memory = WorkspaceOf(op, workspace, cuda::ProgramWorkspaceBytes(tiles, options));
        double* lacking = residual ? residual->data() : nullptr;
        cuda::Program(model, columns.view(), tiles, target.data(), cells, options, report, lacking, memory, stream);
      },
      [&] { Program(model, columns.view(), tiles, target.data(), cells, options, report); });
}

}  // namespace

void BindProgramming(nb::module_& m) {
  nb::class_<ProgramOptions>(m, "ProgramOptions", "Pulses and limits of write-verify programming.")
      .def(nb::init<>())
      .def_rw("dt", &ProgramOptions::dt)
      .def_rw("on_samples", &ProgramOptions::on_samples)
      .def_rw("off_samples", &ProgramOptions::off_samples)
      .def_rw("positive_voltage", &ProgramOptions::positive_voltage)
      .def_rw("negative_voltage", &ProgramOptions::negative_voltage)
      .def_rw("rel_tol", &ProgramOptions::rel_tol)
      .def_rw("max_pulses", &ProgramOptions::max_pulses)
      .def_rw("timeout", &ProgramOptions::timeout)
      .def_rw("force_conductance", &ProgramOptions::force_conductance)
      .def_rw("force_voltage", &ProgramOptions::force_voltage)
      .def_rw("force_rel_tol", &ProgramOptions::force_rel_tol)
      .def_rw("positive_threshold", &ProgramOptions::positive_threshold)
      .def_rw("negative_threshold", &ProgramOptions::negative_threshold)
      .def_rw("unselected_word", &ProgramOptions::unselected_word)
      .def_rw("unselected_bit", &ProgramOptions::unselected_bit)
      .def_rw("floating", &ProgramOptions::floating)
      .def_prop_rw(
          "wires",
          [](const ProgramOptions& o) {
            return std::vector<double>{o.wires.word, o.wires.bit, o.wires.source, o.wires.load};
          },
          [](ProgramOptions& o, const std::vector<double>& ohm) { o.wires = WiresOf("program", ohm); },
          "Resistances, ohm: word, bit, source, load.")
      .def_rw("neighbours", &ProgramOptions::neighbours)
      .def_rw("seed", &ProgramOptions::seed)
      .def_rw("first_device", &ProgramOptions::first_device);
  m.def("program", &BindProgram, "model"_a, "params"_a, "state"_a.noconvert(), "g"_a.noconvert(), "shape"_a, "target"_a,
        "selected"_a, "pulses"_a.noconvert(), "error"_a.noconvert(), "outcome"_a.noconvert(), "forced"_a.noconvert(),
        "options"_a, "stuck"_a.noconvert() = nb::none(), "residual"_a.noconvert() = nb::none(),
        "workspace"_a.noconvert() = nb::none(),
        "Programs the selected [size] devices, cells of tiles of shape (tiles, rows, columns), to target [size], "
        "siemens, by pulses. Of the report [size] the selected are written; outcome: 1 converged, 2 pulse limit, "
        "3 timeout, 4 faulty, 5 disturbed. A GPU needs a workspace; where it solves voltages it tells by the residual "
        "[tiles] what it has not solved, and nothing has changed then.");
  m.def(
      "program_workspace",
      [](const std::tuple<int64_t, int64_t, int64_t>& shape, const ProgramOptions& options) {
        return cuda::ProgramWorkspaceBytes(ShapeOf(shape), options);
      },
      "shape"_a, "options"_a, "Bytes of the workspace that program needs on a GPU.");
}

}  // namespace memtorch
