// Reads of devices with current-voltage curves of their own.

#include <optional>
#include <string>
#include <vector>

#include "bindings/columns.h"
#include "engine/cuda/nonlinear_read.h"
#include "engine/cuda/wired_read.h"
#include "engine/nonlinear_read.h"
#include "engine/wired_read.h"

namespace memtorch {
namespace {

using namespace nb::literals;

void BindReadShape(const std::string& model, const nb::list& params, const Placed<const double>& v,
                   const Placed<double>& shape, const std::optional<Placed<double>>& slope) {
  const char* op = "read_shape";
  Columns columns(op, model, params, 1);
  columns.place().AddAll(v, shape, slope);
  const int64_t n = static_cast<int64_t>(v.size());
  CheckSize(op, "shape", shape, n);
  if (slope) CheckSize(op, "slope", *slope, n);
  double* slopes = slope ? slope->data() : nullptr;
  columns.place().Run(
      [&](void* stream) { cuda::ReadShape(model, columns.view(), v.data(), n, shape.data(), slopes, stream); },
      [&] { ReadShape(model, columns.view(), v.data(), n, shape.data(), slopes); });
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

using OptionalPlaced = std::optional<Placed<double>>;

void BindReadNonlinear(const std::string& model, const nb::list& params, const AnyPlaced& g,
                       const std::vector<int64_t>& grid, const Placed<const double>& v, const Placed<double>& partial) {
  const char* op = "read_nonlinear";
  Columns columns(op, model, params, static_cast<int64_t>(g.size()));
  columns.SetConductances(g);
  columns.place().AddAll(v, partial);
  const NonlinearRead read = TilesOf(op, columns, grid, v, partial);
  columns.place().Run([&](void* stream) { cuda::ReadNonlinear(model, read, partial.data(), stream); },
                      [&] { ReadNonlinear(model, read, partial.data()); });
}

void BindReadNonlinearGradient(const std::string& model, const nb::list& params, const AnyPlaced& g,
                               const std::vector<int64_t>& grid, const Placed<const double>& v,
                               const Placed<const double>& partial_grad, const Placed<double>& v_grad,
                               const OptionalPlaced& g_grad) {
  const char* op = "read_nonlinear_gradient";
  Columns columns(op, model, params, static_cast<int64_t>(g.size()));
  columns.SetConductances(g);
  columns.place().AddAll(v, partial_grad, v_grad, g_grad);
  const NonlinearRead read = TilesOf(op, columns, grid, v, partial_grad);
  CheckSize(op, "v_grad", v_grad, static_cast<int64_t>(v.size()));
  double* by_g = DataOf(op, "g_grad", g_grad, read.devices.size);
  columns.place().Run(
      [&](void* stream) { cuda::ReadNonlinearGradient(model, read, partial_grad.data(), v_grad.data(), by_g, stream); },
      [&] { ReadNonlinearGradient(model, read, partial_grad.data(), v_grad.data(), by_g); });
}

// Residuals of a read through wires on a GPU, which leaves it to the caller to look.
double* ResidualOf(const char* op, const OptionalPlaced& residual, int64_t size) {
  if (!residual) Invalid(op, "residual must be given on a GPU");
  return DataOf(op, "residual", residual, size);
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
        double* lacking = ResidualOf(op, residual, read.grid.tiles() * read.inputs);
        cuda::ReadThroughWires(model, read, ohm, partial.data(), lacking, memory, stream);
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
        double* lacking = ResidualOf(op, residual, read.grid.tiles() * read.inputs);
        cuda::ReadThroughWiresGradient(model, read, ohm, partial_grad.data(), gradients, lacking, memory, stream);
      },
      [&] { ReadThroughWiresGradient(model, read, ohm, partial_grad.data(), gradients); });
}

void BindReadSimulated(const std::string& model, const nb::list& params, const PlacedStates& state, const AnyPlaced& g,
                       double dt, const std::vector<int64_t>& grid, const Placed<const double>& v,
                       const Placed<double>& partial, uint64_t seed, const std::vector<double>& wires,
                       const std::optional<AnyPlaced>& stuck, const OptionalPlaced& residual,
                       const std::optional<Placed<uint8_t>>& workspace) {
  const char* op = "read_simulated";
  Columns columns = FullColumns(op, model, params, state, g, stuck);
  columns.place().AddAll(v, partial, residual, workspace);
  const NonlinearRead read = TilesOf(op, columns, grid, v, partial);
  const SimulatedReadOptions options{dt, seed};
  if (wires.empty()) {
    columns.place().Run([&](void* stream) { cuda::ReadSimulated(model, read, options, partial.data(), stream); },
                        [&] { ReadSimulated(model, read, options, partial.data()); });
    return;
  }
  const Wires ohm = WiresOf(op, wires);
  columns.place().Run(
      [&](void* stream) {
        void* memory = WorkspaceOf(op, workspace, cuda::SimulatedReadWorkspaceBytes(read.grid));
        double* lacking = ResidualOf(op, residual, read.grid.tiles());
        cuda::ReadSimulatedThroughWires(model, read, ohm, options, partial.data(), lacking, memory, stream);
      },
      [&] { ReadSimulatedThroughWires(model, read, ohm, options, partial.data()); });
}

}  // namespace

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
  m.def(
      "read_simulated", &BindReadSimulated, "model"_a, "params"_a, "state"_a.noconvert(), "g"_a.noconvert(), "dt"_a,
      "grid"_a, "v"_a, "partial"_a.noconvert(), "seed"_a = 0, "wires"_a = std::vector<double>(),
      "stuck"_a.noconvert() = nb::none(), "residual"_a.noconvert() = nb::none(), "workspace"_a.noconvert() = nb::none(),
      "Currents of tiles whose devices make one step of dt for each input vector, one after the other; through "
      "resistive wires, ohm, if these are given. A GPU then needs a workspace, and tells by the residual [tiles] what "
      "it has not solved; no device has moved then.");
  m.def(
      "simulated_read_workspace",
      [](const std::vector<int64_t>& grid) {
        return cuda::SimulatedReadWorkspaceBytes(GridOf("read_simulated", grid));
      },
      "grid"_a, "Bytes of the workspace that read_simulated needs on a GPU with wires.");
}

}  // namespace memtorch
