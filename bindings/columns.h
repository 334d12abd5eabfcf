// Python's columns of devices as a DeviceView.
#ifndef MEMTORCH_BINDINGS_COLUMNS_H_
#define MEMTORCH_BINDINGS_COLUMNS_H_

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <string>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/place.h"
#include "engine/device_array.h"
#include "engine/device_model.h"
#include "engine/devices/models.h"
#include "engine/grid/grid.h"

namespace memtorch {

using PlacedStates = std::vector<Placed<double>>;

// How many columns a model has.
struct Counts {
  int params = 0;
  int states = 0;
};

inline Counts CountsOf(const char* op, const std::string& model) {
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

inline Wires WiresOf(const char* op, const std::vector<double>& ohm) {
  if (ohm.size() != 4) Invalid(op, "wires must hold word, bit, source, load");
  return {ohm[0], ohm[1], ohm[2], ohm[3]};
}

}  // namespace memtorch

#endif  // MEMTORCH_BINDINGS_COLUMNS_H_
