#include "engine/cuda/wired_read.h"
#include "engine/cuda/wired_tiles.h"
#include "engine/devices/models.h"
#include "engine/random.h"
#include "engine/simulate_checks.h"

namespace memtorch::cuda {
namespace {

constexpr const char* kOp = "read_simulated";

// A read moves copies of the columns, with conductances in float64, until all of it has succeeded.
template <class M>
struct CopyDevice {
  DeviceColumns from, to;  // `to` knows of no stuck devices: they have conductances, too
  uint32_t* failures;

  MT_HD void operator()(int64_t device) const {
    if (device == 0) *failures = 0;
    to.template Write<M>(device, from.template ParamsAt<M>(device), from.template StateAt<M>(device));
  }
};

template <class M>
struct CommitDevice {
  DeviceColumns to, from;
  const uint32_t* failures;

  MT_HD void operator()(int64_t device) const {
    if (*failures != 0) return;
    to.template Write<M>(device, to.template ParamsAt<M>(device), from.template StateAt<M>(device));
  }
};

// Where a block solves its circuits.
struct TileMemory {
  static constexpr int64_t kArrays = NewtonArrays::kWithoutPotentials + 2;

  // Arrays of nodes, and voltages of the drivers.
  MT_HD static int64_t Doubles(const TileGrid& grid) {
    return kArrays * grid.tile_rows * grid.tile_cols + grid.tile_rows;
  }
};

// A block takes one tile after another, and of each one input vector after the other.
template <class M>
struct MoveTiles {
  WiredTiles tiles;
  DeviceColumns devices;  // that move
  SimulatedReadOptions options;
  double* partial;
  double* residual;
  uint32_t* failures;
  double* memory;  // of all blocks
  int64_t blocks;

  MT_HD void operator()(const Block& block) const {
    for (int64_t tile = block.index(); tile < tiles.grid.tiles(); tile += blocks) ReadTile(block, tile);
  }

 private:
  MT_HD void ReadTile(const Block& block, int64_t tile) const {
    const int64_t size = tiles.lines.nodes();
    double* own = memory + block.index() * TileMemory::Doubles(tiles.grid);
    double* volts = own + TileMemory::kArrays * size;
    const NewtonArrays arrays = NewtonArraysAt(own, own + size, own + 2 * size, size);
    double* currents = arrays.take;  // free after a solution
    const CurveOfTile<M> curve{devices, tile * size};
    NewtonNodes<CurveOfTile<M>> newton(block, tiles.lines, curve, arrays);
    double worst = 0;
    // What follows a circuit that is not solved would mean nothing.
    for (int64_t input = 0; input < tiles.inputs && worst <= kWiredReadTolerance; ++input) {
      tiles.LoadVolts(block, tile, input, volts);
      // Once, or again where devices that record their currents late have moved; one call, which is inlined.
      bool moved = false, again = false;
      do {
        again = moved;
        worst = LargerOrNaN(worst, newton.Solve(volts, nullptr, {kWiredReadTolerance, again}));
        if (!again) {
          moved = Move(block, tile, input, arrays, currents) && !M::kReadsFirst;
          continue;
        }
        block.Each(static_cast<int>(size), [&](int k) {
          double slope;
          curve(k, arrays.w[k] - arrays.b[k], &currents[k], &slope);
        });
      } while (moved && !again);
      tiles.Store(block, tile, input, currents, partial);
    }
    block.Each(1, [&](int) {
      residual[tile] = worst;
      if (!(worst <= kWiredReadTolerance)) AtomicIncrement(failures);
    });
  }

  // Currents of the devices at the voltages of the solution, then one step of each. Returns whether any has moved.
  MT_HD bool Move(const Block& block, int64_t tile, int64_t input, const NewtonArrays& arrays, double* currents) const {
    const int64_t size = tiles.lines.nodes();
    const Sum moved = Over<Sum>(block, size, [&](int64_t k, Sum* count) {
      const int64_t device = tile * size + k;
      const double v = arrays.w[k] - arrays.b[k], g = devices.ConductanceAt(device);
      const auto p = devices.template ParamsAt<M>(device);
      currents[k] = M::Shape(p, v) * g;
      if (devices.IsStuckAt(device)) return;
      auto s = devices.template StateAt<M>(device);
      const double normal =
          M::UsesNoise(p) ? Normal(options.seed, static_cast<uint64_t>(device), static_cast<uint64_t>(input)) : 0;
      Step<M>(p, M::MakeDrive(p, v, options.dt), s, 0, normal);
      devices.template Write<M>(device, p, s);
      if (devices.ConductanceAt(device) != g) count->Add({1});
    });
    return moved.value != 0;
  }
};

// The memory of a read: columns of all cells, that of the blocks, and the count of failures.
struct Scratch {
  int64_t cells, blocks, doubles;

  explicit Scratch(const TileGrid& grid)
      : cells(grid.cells()),
        blocks(NodeBlocks(grid.tile_rows, grid.tile_cols, grid.tiles(), TileMemory::kArrays + 1)),
        doubles((kMaxStates + 1) * cells + blocks * TileMemory::Doubles(grid)) {}

  int64_t bytes() const {
    return doubles * static_cast<int64_t>(sizeof(double)) + static_cast<int64_t>(sizeof(uint32_t));
  }
};

// `devices` with states and conductances in columns of their own.
DeviceView ViewAt(double* columns, const DeviceView& devices) {
  DeviceView view = devices;
  for (int i = 0; i < kMaxStates; ++i) view.state[i] = columns + (i + 1) * devices.size;
  view.g = {nullptr, columns};
  return view;
}

}  // namespace

int64_t SimulatedReadWorkspaceBytes(const TileGrid& grid) { return Scratch(grid).bytes(); }

void ReadSimulatedThroughWires(const std::string& model, const NonlinearRead& read, const Wires& wires,
                               const SimulatedReadOptions& options, double* partial, double* residual, void* workspace,
                               void* stream) {
  WithModel(
      model,
      [&](auto m) {
        using M = decltype(m);
        CheckWiredTiles<M>(kOp, read, wires);
        CheckColumns<M>(kOp, read.devices);
        CheckWaveform(kOp, read.devices, {read.v, read.inputs, 0, options.dt});
        const Scratch scratch(read.grid);
        double* columns = static_cast<double*>(workspace);
        double* memory = columns + (kMaxStates + 1) * scratch.cells;
        uint32_t* failures = reinterpret_cast<uint32_t*>(columns + scratch.doubles);
        const DeviceView moving = ViewAt(columns, read.devices);
        DeviceView all = moving;
        all.stuck = nullptr;
        const DeviceColumns from(read.devices, kParamCount<M>), to(moving, kParamCount<M>);
        ForEach(kOp, scratch.cells, CopyDevice<M>{from, DeviceColumns(all, kParamCount<M>), failures}, stream);
        const MoveTiles<M> move{
            WiredTilesOf(read, wires), to, options, partial, residual, failures, memory, scratch.blocks};
        ForBlocks<kNodeThreads, kNodeBlocks>(kOp, scratch.blocks, BlockLinesBytes(kNodeThreads), move, stream);
        ForEach(kOp, scratch.cells, CommitDevice<M>{from, to, failures}, stream);
      },
      kOp);
}

}  // namespace memtorch::cuda
