// Device models, simulation and conductance writes.

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <string>
#include <vector>

#include "bindings/columns.h"
#include "engine/cuda/params.h"
#include "engine/cuda/simulate.h"
#include "engine/devices/models.h"
#include "engine/simulate.h"

namespace memtorch {
namespace {

using namespace nb::literals;

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

void BindCheckParams(const std::string& op, const std::string& model, const nb::list& params, int64_t size,
                     int64_t first_device, const std::optional<Placed<int64_t>>& found) {
  Columns columns(op.c_str(), model, params, size);
  const auto check = [&] { CheckParams(op.c_str(), model, columns.view(), first_device); };
  if (!found) return columns.place().RunOnCpu("a check that raises", check);
  columns.place().Add(*found);
  CheckSize(op.c_str(), "found", *found, 1);
  columns.place().Run([&](void* stream) { cuda::FindBadParams(model, columns.view(), found->data(), stream); },
                      [&] {
                        check();
                        *found->data() = -1;
                      });
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
  m.def("check_params", &BindCheckParams, "op"_a, "model"_a, "params"_a, "size"_a, "first_device"_a = 0,
        "found"_a.noconvert() = nb::none(),
        "Raises unless every parameter of every device is in its range; messages count devices from first_device. On a "
        "GPU found [1], int64, is written instead: -1, or a number that leaves the first bad device when divided by "
        "size.");
}

}  // namespace memtorch
