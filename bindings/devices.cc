// Device models, simulation and conductance writes.

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/place.h"
#include "engine/cuda/simulate.h"
#include "engine/cuda/wired_read.h"
#include "engine/devices/models.h"
#include "engine/nonlinear_read.h"
#include "engine/program.h"
#include "engine/simulate.h"
#include "engine/wired_read.h"

namespace memtorch {
namespace {

using namespace nb::literals;

using StateArrays = std::vector<Flat<double>>;
using PlacedStates = std::vector<Placed<double>>;

const char* RangeName(Range range) {
  switch (range) {
    case Range::kPositive:
      return "positive";
    case Range::kNonNegative:
      return "non-negative";
    case Range::kNegative:
      return "negative";
    case Range::kFlag:
      return "flag";
    default:
      return "any";
  }
}

template <class Owner, size_t n>
nb::list FieldTable(const Field<Owner> (&fields)[n]) {
  nb::list table;
  for (const auto& field : fields) {
    nb::dict row;
    row["name"] = field.name;
    row["default"] = field.value;
    row["unit"] = field.unit;
    row["range"] = RangeName(field.range);
    row["doc"] = field.doc;
    row["shapes"] = field.shapes;
    table.append(row);
  }
  return table;
}

nb::dict PulseTable(const PulseSet& pulses) {
  nb::dict table;
  table["rel_tol"] = pulses.rel_tol;
  table["pulse_duration"] = pulses.duration;
  table["refactory_period"] = pulses.refractory_period;
  table["pos_voltage_level"] = pulses.positive_voltage;
  table["neg_voltage_level"] = pulses.negative_voltage;
  table["failure_iteration_threshold"] = pulses.max_pulses;
  table["time_series_resolution"] = pulses.time_step;
  return table;
}

nb::list ModelTable() {
  nb::list table;
  ForEachModel([&](auto m) {
    using M = decltype(m);
    nb::dict row;
    row["name"] = M::kName;
    row["summary"] = M::kSummary;
    row["reference"] = M::kReference;
    row["time_series_resolution"] = M::kTimeStep;
    row["polarity"] = M::kPolarity;
    row["reads_first"] = M::kReadsFirst;
    row["programming_params"] = PulseTable(M::kPulses);
    row["params"] = FieldTable(M::kParams);
    row["states"] = FieldTable(M::kState);
    table.append(row);
  });
  return table;
}

struct Counts {
  int params = 0;
  int states = 0;
};

Counts CountsOf(const char* op, const std::string& model) {
  Counts counts;
  const auto count = [&](auto m) {
    using M = decltype(m);
    counts = {kParamCount<M>, kStateCount<M>};
  };
  WithModel(model, count, op);
  return counts;
}

// A DeviceView over Python's columns. Holds what the view points to.
class Columns {
 public:
  Columns(const char* op, const std::string& model, const nb::list& params, int64_t size) : op_(op), place_(op) {
    view_.size = size;
    const int expected = CountsOf(op, model).params;
    if (static_cast<int>(params.size()) != expected) {
      Invalid(op, "params must hold the ", expected, " parameters of ", model, ", got ", params.size());
    }
    shared_.reserve(params.size());
    for (size_t k = 0; k < params.size(); ++k) view_.params[k] = Column(params[k], size);
  }

  template <class Array>
  void SetState(const std::string& model, const std::vector<Array>& state) {
    place_.Add(state);
    const int expected = CountsOf(op_, model).states;
    if (static_cast<int>(state.size()) != expected) {
      Invalid(op_, "state must hold the ", expected, " state variables of ", model, ", got ", state.size());
    }
    for (size_t k = 0; k < state.size(); ++k) {
      CheckSize(op_, "each state variable", state[k], view_.size);
      view_.state[k] = state[k].data();
    }
  }

  template <class Array>
  void SetStuck(const std::optional<Array>& stuck) {
    if (!stuck) return;
    place_.Add(*stuck);
    CheckSize(op_, "stuck", *stuck, view_.size);
    if (stuck->dtype() != nb::dtype<bool>() && stuck->dtype() != nb::dtype<uint8_t>()) {
      Invalid(op_, "stuck must be bool or uint8");
    }
    view_.stuck = static_cast<const uint8_t*>(stuck->data());
  }

  template <class Array>
  void SetConductances(const Array& g) {
    view_.g = Conductances("g", g);
  }

  template <class Array>
  ConductanceColumn Conductances(const char* name, const Array& g) {
    place_.Add(g);
    CheckSize(op_, name, g, view_.size);
    ConductanceColumn column;
    WithFloatType(op_, name, g, [&](auto type) {
      if constexpr (sizeof(type) == sizeof(float)) {
        column.f32 = static_cast<float*>(g.data());
      } else {
        column.f64 = static_cast<double*>(g.data());
      }
    });
    return column;
  }

  const DeviceView& view() const { return view_; }
  // Where the columns are; further arrays of the call are added to it.
  Place& place() { return place_; }

 private:
  ParamColumn Column(nb::handle value, int64_t size) {
    double number = 0;
    if (nb::try_cast(value, number)) {
      shared_.push_back(number);
      return {&shared_.back(), 0};
    }
    Placed<const double> array;
    if (!nb::try_cast(value, array, /*convert=*/false)) {
      Invalid(op_, "each of params must be a float or a contiguous float64 array");
    }
    place_.Add(array);
    CheckSize(op_, "each parameter array", array, size);
    arrays_.push_back(array);
    return {array.data(), 1};
  }

  const char* op_;
  Place place_;
  std::vector<double> shared_;
  std::vector<Placed<const double>> arrays_;
  DeviceView view_;
};

template <class Array, class State>
Columns FullColumns(const char* op, const std::string& model, const nb::list& params, const std::vector<State>& state,
                    const Array& g, const std::optional<Array>& stuck) {
  Columns columns(op, model, params, static_cast<int64_t>(g.size()));
  columns.SetStuck(stuck);
  columns.SetState(model, state);
  columns.SetConductances(g);
  return columns;
}

void BindSimulate(const std::string& model, const nb::list& params, const PlacedStates& state, const AnyPlaced& g,
                  double dt, const Placed<const double>& waveform, const std::optional<Placed<double>>& current,
                  uint64_t seed, int64_t first_device, double rel_tol, const std::optional<AnyPlaced>& stuck) {
  Columns columns = FullColumns("simulate", model, params, state, g, stuck);
  columns.place().Add(waveform);
  columns.place().Add(current);
  const int64_t size = columns.view().size;
  Waveform wave;
  wave.v = waveform.data();
  wave.dt = dt;
  if (waveform.ndim() == 1) {
    wave.steps = static_cast<int64_t>(waveform.shape(0));
  } else if (waveform.ndim() == 2 && static_cast<int64_t>(waveform.shape(0)) == size) {
    wave.steps = wave.device_stride = static_cast<int64_t>(waveform.shape(1));
  } else {
    Invalid("simulate", "waveform must have shape [steps] or [", size, ", steps]");
  }
  if (current) CheckSize("simulate", "current", *current, size * wave.steps);
  const SimulateOptions options{seed, first_device, rel_tol};
  double* out = current ? current->data() : nullptr;
  columns.place().Run([&](void* stream) { cuda::Simulate(model, columns.view(), wave, options, out, stream); },
                      [&] { Simulate(model, columns.view(), wave, options, out); });
}

void BindSetConductance(const std::string& model, const nb::list& params, const PlacedStates& state, const AnyPlaced& g,
                        const std::optional<AnyPlaced>& target, const std::optional<AnyPlaced>& stuck) {
  Columns columns = FullColumns("set_conductance", model, params, state, g, stuck);
  const ConductanceColumn wanted = target ? columns.Conductances("target", *target) : columns.view().g;
  columns.place().Run([&](void* stream) { cuda::SetConductance(model, columns.view(), wanted, stream); },
                      [&] { SetConductance(model, columns.view(), wanted); });
}

template <void (*Apply)(const std::string&, const DeviceView&),
          void (*ApplyOnGpu)(const std::string&, const DeviceView&, void*)>
void BindInPlace(const std::string& model, const nb::list& params, const PlacedStates& state, const AnyPlaced& g,
                 const std::optional<AnyPlaced>& stuck) {
  Columns columns = FullColumns("devices", model, params, state, g, stuck);
  columns.place().Run([&](void* stream) { ApplyOnGpu(model, columns.view(), stream); },
                      [&] { Apply(model, columns.view()); });
}

void BindProgram(const std::string& model, const nb::list& params, const StateArrays& state, const AnyFlat& g,
                 const std::tuple<int64_t, int64_t, int64_t>& shape, const Flat<const double>& target,
                 const Flat<const bool>& selected, const Flat<int64_t>& pulses, const Flat<double>& error,
                 const Flat<uint8_t>& outcome, const Flat<int64_t>& forced, const ProgramOptions& options,
                 const std::optional<AnyFlat>& stuck) {
  const char* op = "program";
  const Columns columns = FullColumns(op, model, params, state, g, stuck);
  const int64_t size = columns.view().size;
  CheckSize(op, "target", target, size);
  CheckSize(op, "selected", selected, size);
  CheckSize(op, "pulses", pulses, size);
  CheckSize(op, "error", error, size);
  CheckSize(op, "outcome", outcome, size);
  CheckSize(op, "forced", forced, size);
  const ProgramReport report{pulses.data(), error.data(), reinterpret_cast<Outcome*>(outcome.data()), forced.data()};
  const auto [tiles, rows, cols] = shape;
  nb::gil_scoped_release unlocked;
  Program(model, columns.view(), {tiles, rows, cols}, target.data(), reinterpret_cast<const uint8_t*>(selected.data()),
          options, report);
}

Wires WiresOf(const char* op, const std::vector<double>& ohm) {
  if (ohm.size() != 4) Invalid(op, "wires must hold word, bit, source, load");
  return {ohm[0], ohm[1], ohm[2], ohm[3]};
}

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
        "options"_a, "stuck"_a.noconvert() = nb::none(),
        "Programs the selected [size] devices, cells of tiles of shape (tiles, rows, columns), to target [size], "
        "siemens, by pulses. Of the report [size] the selected are written; outcome: 1 converged, 2 pulse limit, "
        "3 timeout, 4 faulty, 5 disturbed.");
}

void BindReadShape(const std::string& model, const nb::list& params, const Flat<const double>& v,
                   const Flat<double>& shape, const std::optional<Flat<double>>& slope) {
  const Columns columns("read_shape", model, params, 1);
  const int64_t n = static_cast<int64_t>(v.size());
  CheckSize("read_shape", "shape", shape, n);
  if (slope) CheckSize("read_shape", "slope", *slope, n);
  nb::gil_scoped_release unlocked;
  ReadShape(model, columns.view(), v.data(), n, shape.data(), slope ? slope->data() : nullptr);
}

TileGrid GridOf(const char* op, const std::vector<int64_t>& grid) {
  if (grid.size() != 4) Invalid(op, "grid must hold rows, columns, tile_rows, tile_columns");
  const TileGrid tiles{grid[0], grid[1], grid[2], grid[3]};
  CheckGrid(op, tiles);
  return tiles;
}

// The arguments that reads of tiles have in common. `partial`: their currents, or the gradients of these.
template <class Volts, class Array>
NonlinearRead TilesOf(const char* op, const Columns& columns, const std::vector<int64_t>& grid, const Volts& v,
                      const Array& partial) {
  NonlinearRead read{columns.view(), GridOf(op, grid), v.data(), 0};
  if (v.ndim() != 2 || static_cast<int64_t>(v.shape(0)) != read.grid.rows) {
    Invalid(op, "v must have shape [", read.grid.rows, ", inputs]");
  }
  read.inputs = static_cast<int64_t>(v.shape(1));
  CheckSize(op, "partial", partial, read.grid.down() * read.inputs * read.grid.cols);
  return read;
}

// Null for None.
template <class Array>
double* DataOf(const char* op, const char* name, const std::optional<Array>& array, int64_t size) {
  if (!array) return nullptr;
  CheckSize(op, name, *array, size);
  return array->data();
}

void BindReadNonlinear(const std::string& model, const nb::list& params, const AnyFlat& g,
                       const std::vector<int64_t>& grid, const Flat<const double>& v, const Flat<double>& partial) {
  const char* op = "read_nonlinear";
  Columns columns(op, model, params, static_cast<int64_t>(g.size()));
  columns.SetConductances(g);
  const NonlinearRead read = TilesOf(op, columns, grid, v, partial);
  nb::gil_scoped_release unlocked;
  ReadNonlinear(model, read, partial.data());
}

void BindReadNonlinearGradient(const std::string& model, const nb::list& params, const AnyFlat& g,
                               const std::vector<int64_t>& grid, const Flat<const double>& v,
                               const Flat<const double>& partial_grad, const Flat<double>& v_grad,
                               const std::optional<Flat<double>>& g_grad) {
  const char* op = "read_nonlinear_gradient";
  Columns columns(op, model, params, static_cast<int64_t>(g.size()));
  columns.SetConductances(g);
  const NonlinearRead read = TilesOf(op, columns, grid, v, partial_grad);
  CheckSize(op, "v_grad", v_grad, static_cast<int64_t>(v.size()));
  double* by_g = DataOf(op, "g_grad", g_grad, read.devices.size);
  nb::gil_scoped_release unlocked;
  ReadNonlinearGradient(model, read, partial_grad.data(), v_grad.data(), by_g);
}

using OptionalPlaced = std::optional<Placed<double>>;

// Residual [tiles, inputs] of a read through wires on a GPU, which leaves it to the caller to look.
double* ResidualOf(const char* op, const NonlinearRead& read, const OptionalPlaced& residual) {
  if (!residual) Invalid(op, "residual must be given on a GPU");
  return DataOf(op, "residual", residual, read.grid.tiles() * read.inputs);
}

int64_t BindWiredReadWorkspace(const std::vector<int64_t>& grid, int64_t inputs) {
  return cuda::WiredReadWorkspaceBytes(GridOf("read_through_wires", grid), inputs);
}

void BindReadThroughWires(const std::string& model, const nb::list& params, const AnyPlaced& g,
                          const std::vector<int64_t>& grid, const std::vector<double>& wires,
                          const Placed<const double>& v, const Placed<double>& partial, const OptionalPlaced& residual,
                          const std::optional<Placed<uint8_t>>& workspace) {
  const char* op = "read_through_wires";
  Columns columns(op, model, params, static_cast<int64_t>(g.size()));
  columns.SetConductances(g);
  columns.place().AddAll(v, partial, residual, workspace);
  const NonlinearRead read = TilesOf(op, columns, grid, v, partial);
  const Wires ohm = WiresOf(op, wires);
  columns.place().Run(
      [&](void* stream) {
        void* memory = WorkspaceOf(op, workspace, cuda::WiredReadWorkspaceBytes(read.grid, read.inputs));
        cuda::ReadThroughWires(model, read, ohm, partial.data(), ResidualOf(op, read, residual), memory, stream);
      },
      [&] { ReadThroughWires(model, read, ohm, partial.data()); });
}

void BindReadThroughWiresGradient(const std::string& model, const nb::list& params, const AnyPlaced& g,
                                  const std::vector<int64_t>& grid, const std::vector<double>& wires,
                                  const Placed<const double>& v, const Placed<const double>& partial_grad,
                                  const OptionalPlaced& v_grad, const OptionalPlaced& g_grad,
                                  const OptionalPlaced& wires_grad, const OptionalPlaced& residual,
                                  const std::optional<Placed<uint8_t>>& workspace) {
  const char* op = "read_through_wires_gradient";
  Columns columns(op, model, params, static_cast<int64_t>(g.size()));
  columns.SetConductances(g);
  columns.place().AddAll(v, partial_grad, v_grad, g_grad, wires_grad, residual, workspace);
  const NonlinearRead read = TilesOf(op, columns, grid, v, partial_grad);
  const Wires ohm = WiresOf(op, wires);
  const WiredGradients gradients{DataOf(op, "v_grad", v_grad, static_cast<int64_t>(v.size())),
                                 DataOf(op, "g_grad", g_grad, read.devices.size),
                                 DataOf(op, "wires_grad", wires_grad, 4)};
  columns.place().Run(
      [&](void* stream) {
        void* memory = WorkspaceOf(op, workspace, cuda::WiredReadWorkspaceBytes(read.grid, read.inputs));
        cuda::ReadThroughWiresGradient(model, read, ohm, partial_grad.data(), gradients, ResidualOf(op, read, residual),
                                       memory, stream);
      },
      [&] { ReadThroughWiresGradient(model, read, ohm, partial_grad.data(), gradients); });
}

void BindReadSimulated(const std::string& model, const nb::list& params, const StateArrays& state, const AnyFlat& g,
                       double dt, const std::vector<int64_t>& grid, const Flat<const double>& v,
                       const Flat<double>& partial, uint64_t seed, const std::vector<double>& wires,
                       const std::optional<AnyFlat>& stuck) {
  const char* op = "read_simulated";
  const Columns columns = FullColumns(op, model, params, state, g, stuck);
  const NonlinearRead read = TilesOf(op, columns, grid, v, partial);
  const Wires ohm = wires.empty() ? Wires() : WiresOf(op, wires);
  nb::gil_scoped_release unlocked;
  if (wires.empty()) {
    ReadSimulated(model, read, {dt, seed}, partial.data());
  } else {
    ReadSimulatedThroughWires(model, read, ohm, {dt, seed}, partial.data());
  }
}

void BindReads(nb::module_& m) {
  m.def(
      "read_shape", &BindReadShape, "model"_a, "params"_a, "v"_a, "shape"_a.noconvert(),
      "slope"_a.noconvert() = nb::none(),
      "Shapes (V) of voltages [n]: the current of a device is its shape times its conductance. Slope: the derivative.");
  m.def("read_nonlinear", &BindReadNonlinear, "model"_a, "params"_a, "g"_a.noconvert(), "grid"_a, "v"_a,
        "partial"_a.noconvert(),
        "Currents partial [tiles down, inputs, columns] of tiles g at voltages v [rows, inputs], each device with its "
        "own I-V curve. grid: rows, columns, tile_rows, tile_columns.");
  m.def("read_nonlinear_gradient", &BindReadNonlinearGradient, "model"_a, "params"_a, "g"_a.noconvert(), "grid"_a,
        "v"_a, "partial_grad"_a, "v_grad"_a.noconvert(), "g_grad"_a.noconvert() = nb::none(),
        "The derivative of read_nonlinear by v, and by g [cells].");
  m.def(
      "read_through_wires", &BindReadThroughWires, "model"_a, "params"_a, "g"_a.noconvert(), "grid"_a, "wires"_a, "v"_a,
      "partial"_a.noconvert(), "residual"_a.noconvert() = nb::none(), "workspace"_a.noconvert() = nb::none(),
      "The same through resistive wires, ohm: word, bit, source, load. RuntimeError where a tile is not solved; a GPU, "
      "which is not waited for, leaves it to the caller to look at the residual [tiles, inputs], and needs a "
      "workspace.");
  m.def("read_through_wires_gradient", &BindReadThroughWiresGradient, "model"_a, "params"_a, "g"_a.noconvert(),
        "grid"_a, "wires"_a, "v"_a, "partial_grad"_a, "v_grad"_a.noconvert() = nb::none(),
        "g_grad"_a.noconvert() = nb::none(), "wires_grad"_a.noconvert() = nb::none(),
        "residual"_a.noconvert() = nb::none(), "workspace"_a.noconvert() = nb::none(),
        "The derivative of read_through_wires by v, g [cells] and wires [4]; None: not wanted.");
  m.def("wired_read_workspace", &BindWiredReadWorkspace, "grid"_a, "inputs"_a,
        "Bytes of the workspace that read_through_wires and its derivative need on a GPU.");
  m.def("read_simulated", &BindReadSimulated, "model"_a, "params"_a, "state"_a.noconvert(), "g"_a.noconvert(), "dt"_a,
        "grid"_a, "v"_a, "partial"_a.noconvert(), "seed"_a = 0, "wires"_a = std::vector<double>(),
        "stuck"_a.noconvert() = nb::none(),
        "Currents of tiles whose devices make one step of dt for each input vector, one after the other; through "
        "resistive wires, ohm, if these are given.");
}

}  // namespace

void BindDevices(nb::module_& m) {
  m.def("models", &ModelTable, nb::sig("def models() -> list[dict[str, typing.Any]]"),
        "The device models with their tables of parameters and state variables: name, default, unit, range, doc.");
  m.def("simulate", &BindSimulate, "model"_a, "params"_a, "state"_a.noconvert(), "g"_a.noconvert(), "dt"_a,
        "waveform"_a, "current"_a.noconvert() = nb::none(), "seed"_a = 0, "first_device"_a = 0, "rel_tol"_a = 0.0,
        "stuck"_a.noconvert() = nb::none(),
        "Applies waveform [steps] or [size, steps], volts, to all devices; current [size, steps], amperes, is written. "
        "Devices where stuck [size], bool or uint8, is not 0 keep state and g: here and in the functions below.");
  m.def("set_conductance", &BindSetConductance, "model"_a, "params"_a, "state"_a.noconvert(), "g"_a.noconvert(),
        "target"_a.noconvert() = nb::none(), "stuck"_a.noconvert() = nb::none(),
        "Sets each device to target [size], siemens, clipped to its own range; without target the state follows g.");
  m.def("update_conductance", &BindInPlace<&UpdateConductance, &cuda::UpdateConductance>, "model"_a, "params"_a,
        "state"_a.noconvert(), "g"_a.noconvert(), "stuck"_a.noconvert() = nb::none(), "Recomputes g from the state.");
  m.def("reset", &BindInPlace<&Reset, &cuda::Reset>, "model"_a, "params"_a, "state"_a.noconvert(), "g"_a.noconvert(),
        "stuck"_a.noconvert() = nb::none(), "Puts every device into its model's initial state.");
  m.def(
      "check_params",
      [](const std::string& op, const std::string& model, const nb::list& params, int64_t size) {
        const Columns columns(op.c_str(), model, params, size);
        CheckParams(op.c_str(), model, columns.view());
      },
      "op"_a, "model"_a, "params"_a, "size"_a, "Raises unless every parameter of every device is in its range.");
  BindProgramming(m);
  BindReads(m);
}

}  // namespace memtorch
