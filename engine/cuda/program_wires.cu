#include "engine/cuda/program_wires.h"
#include "engine/cuda/solved_tile.h"
#include "engine/devices/models.h"

namespace memtorch::cuda {
namespace {

// Threads of a block, more than a usual tile has lines, because few tiles keep few multiprocessors busy; and blocks that
// share one.
constexpr int kThreads = 256, kBlocks = 2;

// All that programming changes, as it was: columns in float64, and the report.
struct Kept {
  int64_t size;
  double* columns;  // g, then states [size] each
  int64_t *pulses, *forced;
  Outcome* outcome;

  static constexpr int64_t kColumns = 1 + kMaxStates + 2;

  // Of `size` cells, all columns.
  static int64_t Doubles(int64_t size) {
    constexpr int64_t kWord = sizeof(double);
    return kColumns * size + (size + kWord - 1) / kWord;
  }
  Kept(double* memory, int64_t cells)
      : size(cells),
        columns(memory),
        pulses(reinterpret_cast<int64_t*>(memory + (kColumns - 2) * cells)),
        forced(pulses + cells),
        outcome(reinterpret_cast<Outcome*>(forced + cells)) {}
};

template <class M>
struct KeepCell {
  ProgramJob job;
  Kept kept;

  MT_HD void operator()(int64_t cell) const {
    kept.columns[cell] = job.devices.ConductanceAt(cell);
    StoreState<M>(job.devices.template StateAt<M>(cell), ToColumns{kept, cell});
    kept.pulses[cell] = job.report.pulses[cell];
    kept.forced[cell] = job.report.forced[cell];
    kept.outcome[cell] = job.report.outcome[cell];
  }

 private:
  struct ToColumns {
    const Kept& kept;
    int64_t cell;
    MT_HD void operator()(size_t i, double value) const {
      kept.columns[(static_cast<int64_t>(i) + 1) * kept.size + cell] = value;
    }
  };
};

template <class M>
struct PutBackCell {
  ProgramJob job;
  Kept kept;
  const uint32_t* failures;

  MT_HD void operator()(int64_t cell) const {
    if (*failures == 0) return;
    job.devices.template Put<M>(cell, LoadState<M>(FromColumns{kept, cell}), kept.columns[cell]);
    job.report.pulses[cell] = kept.pulses[cell];
    job.report.forced[cell] = kept.forced[cell];
    job.report.outcome[cell] = kept.outcome[cell];
  }

 private:
  struct FromColumns {
    const Kept& kept;
    int64_t cell;
    MT_HD double operator()(size_t i) const { return kept.columns[(static_cast<int64_t>(i) + 1) * kept.size + cell]; }
  };
};

struct ClearTile {
  double* residual;
  uint32_t* failures;

  MT_HD void operator()(int64_t tile) const {
    residual[tile] = 0;
    if (tile == 0) *failures = 0;
  }
};

// A block takes one tile after another, and of each one cell after the other: one thread decides and pulses the cell, all
// of them solve the voltages and pulse the other cells.
template <class M>
struct ProgramTiles {
  WiredProgram program;
  NodeLines lines;
  double* memory;  // of all blocks
  int64_t blocks;

  static constexpr int64_t kSharedBytes = BlockLinesBytes(kThreads) + sizeof(CellWriter<M>);

  MT_HD void operator()(const Block& block) const {
    const int64_t rows = lines.rows, cols = lines.cols;
    const SolvedTileMemory own(memory + block.index() * SolvedTileMemory::Doubles(rows, cols), rows, cols);
    for (int64_t tile = block.index(); tile < program.shape.tiles; tile += blocks) ProgramTile(block, tile, own);
  }

 private:
  MT_HD void ProgramTile(const Block& block, int64_t tile, const SolvedTileMemory& own) const {
    const int64_t first = tile * lines.nodes();
    SolvedTile<M> solved(block, program.job, lines, first, own);
    for (int64_t cell = first; cell < first + lines.nodes() && solved.solved(); ++cell) {
      if (program.selected[cell] == 0 || program.job.devices.IsStuckAt(cell)) continue;
      solved.Begin(cell);
      ProgramCell(block, cell, &solved);
    }
    block.Each(1, [&](int) {
      program.residual[tile] = solved.residual();
      if (!solved.solved()) AtomicIncrement(program.failures);
    });
  }

  MT_HD void ProgramCell(const Block& block, int64_t cell, SolvedTile<M>* solved) const {
    CellWriter<M>* writer = block.template Shared<CellWriter<M>>(BlockLinesBytes(kThreads));
    block.Each(1, [&](int) { writer->Begin(program.job, cell); });
    for (;;) {
      block.Each(1, [&](int) { writer->Decide(program.job); });
      const bool done = writer->done();
      const double v = writer->volts(), g = writer->g();
      block.Wait();
      if (done) return;
      const double seen = v * solved->Share(g);
      if (!solved->solved()) return;
      block.Each(1, [&](int) { writer->Pulse(program.job, seen, static_cast<uint64_t>(solved->sample())); });
      solved->Disturb(v);
    }
  }
};

int64_t BlocksOf(const TileShape& shape) {
  return NodeBlocks(shape.rows, shape.cols, shape.tiles, SolvedTileMemory::kArrays + 1);
}

int64_t CellsOf(const TileShape& shape) { return shape.tiles * shape.rows * shape.cols; }

}  // namespace

int64_t WiredProgramBytes(const TileShape& shape) {
  if (CellsOf(shape) == 0) return 0;
  const int64_t solutions = BlocksOf(shape) * SolvedTileMemory::Doubles(shape.rows, shape.cols);
  return (Kept::Doubles(CellsOf(shape)) + solutions) * static_cast<int64_t>(sizeof(double));
}

void ProgramThroughWires(const std::string& model, const WiredProgram& program, void* stream) {
  const TileShape& shape = program.shape;
  const int64_t cells = CellsOf(shape);
  if (cells != 0) CheckNodeCount(kProgramOp, shape.rows, shape.cols);
  ForEach(kProgramOp, shape.tiles, ClearTile{program.residual, program.failures}, stream);
  if (cells == 0) return;
  WithModel(
      model,
      [&](auto m) {
        using M = decltype(m);
        const Kept kept(program.memory, cells);
        const NodeLines lines = NodeLinesOf(shape.rows, shape.cols, program.job.options.wires, {});
        const ProgramTiles<M> tiles{program, lines, program.memory + Kept::Doubles(cells), BlocksOf(shape)};
        ForEach(kProgramOp, cells, KeepCell<M>{program.job, kept}, stream);
        ForBlocks<kThreads, kBlocks>(kProgramOp, tiles.blocks, ProgramTiles<M>::kSharedBytes, tiles, stream);
        ForEach(kProgramOp, cells, PutBackCell<M>{program.job, kept, program.failures}, stream);
      },
      kProgramOp);
}

}  // namespace memtorch::cuda
