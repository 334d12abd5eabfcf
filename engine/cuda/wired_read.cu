#include <algorithm>

#include "engine/cuda/wired_read.h"
#include "engine/cuda/wired_tiles.h"
#include "engine/devices/models.h"

namespace memtorch::cuda {
namespace {

// Circuits are numbered tile by tile. A launch takes some of them, each with memory of its own, and what one kernel
// leaves there the next one finds.
struct Circuits {
  WiredTiles tiles;
  int64_t first;   // circuit of this launch
  double* memory;  // [circuits of a launch, Doubles()]

  static constexpr int64_t kArrays = NewtonArrays::kWithoutPotentials + 2;

  // Of one circuit: arrays of nodes, and voltages of the drivers and of the senses.
  MT_HD static int64_t Doubles(const TileGrid& grid) {
    return kArrays * grid.tile_rows * grid.tile_cols + grid.tile_rows + grid.tile_cols;
  }

  MT_HD int64_t tile(int64_t circuit) const { return circuit / tiles.inputs; }
  MT_HD int64_t input(int64_t circuit) const { return circuit % tiles.inputs; }

  MT_HD double* MemoryOf(int64_t circuit) const { return memory + (circuit - first) * Doubles(tiles.grid); }
  MT_HD NewtonArrays ArraysOf(int64_t circuit) const {
    const int64_t size = tiles.lines.nodes();
    double* own = MemoryOf(circuit);
    return NewtonArraysAt(own, own + size, own + 2 * size, size);
  }
  MT_HD double* WordVolts(int64_t circuit) const { return MemoryOf(circuit) + kArrays * tiles.lines.nodes(); }
  MT_HD double* BitVolts(int64_t circuit) const { return WordVolts(circuit) + tiles.lines.rows; }
};

// After SolveTile these arrays hold what devices do at the solution.
MT_HD double* ShapesOf(const NewtonArrays& arrays) { return arrays.bring; }
MT_HD double* CurrentsOf(const NewtonArrays& arrays) { return arrays.take; }
MT_HD double* SlopesOf(const NewtonArrays& arrays) { return arrays.g; }

template <class M>
struct SolveTile {
  Circuits circuits;
  DeviceColumns devices;
  double* partial;  // null: not wanted
  double* residual;

  MT_HD void operator()(const Block& block) const {
    const int64_t circuit = circuits.first + block.index(), tile = circuits.tile(circuit);
    const NodeLines& lines = circuits.tiles.lines;
    const CurveOfTile<M> curve{devices, tile * lines.nodes()};
    const NewtonArrays arrays = circuits.ArraysOf(circuit);
    double* volts = circuits.WordVolts(circuit);
    circuits.tiles.LoadVolts(block, tile, circuits.input(circuit), volts);
    NewtonNodes<CurveOfTile<M>> newton(block, lines, curve, arrays);
    const double lacking = newton.Solve(volts, nullptr, {kWiredReadTolerance, false});
    block.Each(kNodeThreads, [&](int thread) {
      if (thread == 0) residual[circuit] = lacking;
      for (int64_t k = thread; k < lines.nodes(); k += kNodeThreads) {
        const double across = arrays.w[k] - arrays.b[k];
        curve(k, across, &CurrentsOf(arrays)[k], &SlopesOf(arrays)[k]);
        ShapesOf(arrays)[k] = curve.Shape(k, across);
      }
    });
    if (partial != nullptr) circuits.tiles.Store(block, tile, circuits.input(circuit), CurrentsOf(arrays), partial);
  }
};

// What the gradient by the senses' currents means, for a circuit that SolveTile has left: WiredTile::AddGradient on the
// CPU says why.
struct SolveAdjoint {
  Circuits circuits;
  const double* partial_grad;
  double* by_v;      // [tiles across, rows, inputs]
  double* by_wires;  // [circuits, 4]
  double* residual;

  struct WordSums {
    double segments = 0, source = 0;
    MT_HD void Add(const WordSums& other) {
      segments += other.segments;
      source += other.source;
    }
  };
  struct BitSums {
    double segments = 0, load = 0;
    MT_HD void Add(const BitSums& other) {
      segments += other.segments;
      load += other.load;
    }
  };

  MT_HD void operator()(const Block& block) const {
    const int64_t circuit = circuits.first + block.index();
    const NewtonArrays arrays = circuits.ArraysOf(circuit);
    const NodeLines lines = circuits.tiles.lines.With(SlopesOf(arrays), arrays.bit_ratio, arrays.word_ratio);
    const int64_t tile = circuits.tile(circuit), used_cols = circuits.tiles.used_cols(tile);
    const double* grad = partial_grad + circuits.tiles.PartialAt(tile, circuits.input(circuit));
    // Voltages within the bounds of a circuit.
    const double scale =
        Over<Largest>(block, used_cols, [&](int64_t j, Largest* largest) { largest->Add({Abs(grad[j])}); }).value;
    double* volts = circuits.BitVolts(circuit);
    block.Each(static_cast<int>(lines.cols),
               [&](int j) { volts[j] = j < used_cols && scale != 0 ? grad[j] / scale : 0; });
    FactorNodes(block, lines);
    LinearNodes linear(block, lines, arrays.linear);
    const double lacking = linear.Solve({nullptr, nullptr, nullptr, volts}, false, 0, kWiredReadTolerance);
    block.Each(kNodeThreads, [&](int thread) {
      if (thread == 0) residual[circuit] = LargerOrNaN(residual[circuit], lacking);
      for (int64_t k = thread; k < lines.nodes(); k += kNodeThreads) {
        const double across = scale * (linear.b()[k] - linear.w()[k]);
        ShapesOf(arrays)[k] *= across;  // the gradient by the device's conductance
        arrays.into_word[k] = SlopesOf(arrays)[k] * across;
      }
    });
    AddUp(block, circuit, lines, CurrentsOf(arrays), arrays.into_word);
  }

  // From the devices' currents in both circuits; those of the second are counted from bit line to word line, which turns
  // the sign. A segment of a word line carries what the devices behind it draw, one of a bit line what those above it
  // bring.
  MT_HD void AddUp(const Block& block, int64_t circuit, const NodeLines& lines, const double* first,
                   const double* second) const {
    const WiredTiles& tiles = circuits.tiles;
    const int64_t rows = lines.rows, cols = lines.cols, tile = circuits.tile(circuit);
    const WordSums words = Over<WordSums>(block, rows, [&](int64_t i, WordSums* sums) {
      double drawn = 0, back = 0;
      for (int64_t j = cols - 1; j >= 0; --j) {
        drawn += first[i * cols + j];
        back += second[i * cols + j];
        (j > 0 ? sums->segments : sums->source) -= drawn * back;
      }
      const int64_t row = tiles.down(tile) * rows + i;
      if (i >= tiles.used_rows(tile)) return;
      by_v[(tiles.across(tile) * tiles.grid.rows + row) * tiles.inputs + circuits.input(circuit)] = back;
    });
    const BitSums bits = Over<BitSums>(block, cols, [&](int64_t j, BitSums* sums) {
      double brought = 0, back = 0;
      for (int64_t i = 0; i < rows; ++i) {
        brought += first[i * cols + j];
        back += second[i * cols + j];
        (i + 1 < rows ? sums->segments : sums->load) -= brought * back;
      }
    });
    block.Each(1, [&](int) {
      double* out = by_wires + circuit * 4;
      out[0] = words.segments;
      out[1] = bits.segments;
      out[2] = words.source;
      out[3] = bits.load;
    });
  }
};

// Adds what the circuits of a launch mean for the cells' conductances, in their order.
struct AddToCells {
  Circuits circuits;
  int64_t count;
  double* by_g;

  MT_HD void operator()(int64_t cell) const {
    const int64_t size = circuits.tiles.lines.nodes(), tile = cell / size, node = cell % size;
    int64_t begin = tile * circuits.tiles.inputs, end = begin + circuits.tiles.inputs;
    if (begin < circuits.first) begin = circuits.first;
    if (end > circuits.first + count) end = circuits.first + count;
    double sum = circuits.first == 0 ? 0 : by_g[cell];
    for (int64_t k = begin; k < end; ++k) sum += ShapesOf(circuits.ArraysOf(k))[node];
    by_g[cell] = sum;
  }
};

// Adds up `count` arrays of `size`, one after the other.
struct AddArrays {
  const double* arrays;
  int64_t count, size;
  double* out;

  MT_HD void operator()(int64_t k) const {
    double sum = 0;
    for (int64_t i = 0; i < count; ++i) sum += arrays[i * size + k];
    out[k] = sum;
  }
};
struct AddWires {
  const double* by_wires;
  int64_t count;
  double* out;

  struct Sums {
    double of[4] = {0, 0, 0, 0};
    MT_HD void Add(const Sums& other) {
      for (int i = 0; i < 4; ++i) of[i] += other.of[i];
    }
  };
  MT_HD void operator()(const Block& block) const {
    const Sums sums = Over<Sums>(block, count, [&](int64_t k, Sums* total) {
      for (int i = 0; i < 4; ++i) total->of[i] += by_wires[k * 4 + i];
    });
    block.Each(4, [&](int i) { out[i] = sums.of[i]; });
  }
};

// Circuits of a launch.
int64_t LaunchSize(const TileGrid& grid, int64_t inputs) {
  return NodeBlocks(grid.tile_rows, grid.tile_cols, grid.tiles() * inputs, Circuits::kArrays + 2);
}

// Solves all circuits, some at a time: then(circuits, count) for each of these launches.
template <class Then>
void SolveTiles(const char* op, const std::string& model, const NonlinearRead& read, const Wires& wires,
                double* partial, double* residual, double* memory, void* stream, const Then& then) {
  WithModel(
      model,
      [&](auto m) {
        using M = decltype(m);
        CheckWiredTiles<M>(op, read, wires);
        const int64_t total = read.grid.tiles() * read.inputs;
        if (total == 0) return;
        const int64_t step = LaunchSize(read.grid, read.inputs);
        const DeviceColumns devices(read.devices, kParamCount<M>);
        const WiredTiles tiles = WiredTilesOf(read, wires);
        for (int64_t first = 0; first < total; first += step) {
          const Circuits circuits{tiles, first, memory};
          const int64_t count = std::min(step, total - first);
          ForBlocks<kNodeThreads, kNodeBlocks>(op, count, BlockLinesBytes(kNodeThreads),
                                               SolveTile<M>{circuits, devices, partial, residual}, stream);
          then(circuits, count);
        }
      },
      op);
}

}  // namespace

int64_t WiredReadWorkspaceBytes(const TileGrid& grid, int64_t inputs) {
  if (inputs == 0) return 0;
  const int64_t sums = grid.across() * grid.rows * inputs + 4 * grid.tiles() * inputs;
  return (LaunchSize(grid, inputs) * Circuits::Doubles(grid) + sums) * static_cast<int64_t>(sizeof(double));
}

void ReadThroughWires(const std::string& model, const NonlinearRead& read, const Wires& wires, double* partial,
                      double* residual, void* workspace, void* stream) {
  SolveTiles("read_through_wires", model, read, wires, partial, residual, static_cast<double*>(workspace), stream,
             [](const Circuits&, int64_t) {});
}

void ReadThroughWiresGradient(const std::string& model, const NonlinearRead& read, const Wires& wires,
                              const double* partial_grad, const WiredGradients& gradients, double* residual,
                              void* workspace, void* stream) {
  const char* op = "read_through_wires_gradient";
  const TileGrid& grid = read.grid;
  double* by_v = static_cast<double*>(workspace);
  double* by_wires = by_v + grid.across() * grid.rows * read.inputs;
  double* memory = by_wires + 4 * grid.tiles() * read.inputs;
  SolveTiles(op, model, read, wires, nullptr, residual, memory, stream, [&](const Circuits& circuits, int64_t count) {
    ForBlocks<kNodeThreads, kNodeBlocks>(op, count, BlockLinesBytes(kNodeThreads),
                                         SolveAdjoint{circuits, partial_grad, by_v, by_wires, residual}, stream);
    if (gradients.g != nullptr) ForEach(op, grid.cells(), AddToCells{circuits, count, gradients.g}, stream);
  });
  if (gradients.v != nullptr) {
    const int64_t size = grid.rows * read.inputs;
    ForEach(op, size, AddArrays{by_v, grid.across(), size, gradients.v}, stream);
  }
  if (gradients.g != nullptr && read.inputs == 0) {
    ForEach(op, grid.cells(), AddArrays{nullptr, 0, 0, gradients.g}, stream);
  }
  if (gradients.wires != nullptr) {
    ForBlocks<kNodeThreads, kNodeBlocks>(op, 1, BlockLinesBytes(kNodeThreads),
                                         AddWires{by_wires, grid.tiles() * read.inputs, gradients.wires}, stream);
  }
}

}  // namespace memtorch::cuda
