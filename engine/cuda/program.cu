#include <vector>

#include "engine/column_checks.h"
#include "engine/cuda/cell_writer.h"
#include "engine/cuda/launch.h"
#include "engine/cuda/program.h"
#include "engine/cuda/program_wires.h"
#include "engine/devices/models.h"
#include "engine/program_checks.h"
#include "engine/simulate_checks.h"

namespace memtorch::cuda {
namespace {

constexpr int kThreads = 128;
// A train of pulses is handed on to the neighbours when it has this many runs of equal ones.
constexpr int kRuns = 512;
constexpr int kMostVoltages = 16;
// Of the workspace: whether cells influence each other, or how many tiles have failed.
constexpr int64_t kFlagBytes = 16;

// `pulses` pulses of the same voltage, one after the other.
struct Run {
  double v;
  int64_t pulses;
};

// Clears the flag that FindInfluence raises.
struct ClearFlag {
  int* influence;
  MT_HD void operator()(int64_t) const { *influence = 0; }
};

// Raises a flag if the pulses of other cells could move the device, whatever state it is programmed into, or if it is
// not at rest.
template <class M>
struct FindInfluence {
  DeviceColumns devices;
  double dt;
  double volts[kMostVoltages];
  int count;
  int* influence;

  MT_HD void operator()(int64_t device) const {
    const auto p = devices.template ParamsAt<M>(device);
    bool holds = !M::UsesNoise(p);
    for (int k = 0; k < count; ++k) holds = holds && M::Holds(p, M::MakeDrive(p, volts[k], dt));
    if (!devices.IsStuckAt(device)) holds = holds && IsSettled<M>(devices, device, p, dt);
    if (!holds) RaiseFlag(influence);
  }
};

// Cells that do not influence each other, each from its first pulse to its last.
template <class M>
struct WriteCell {
  ProgramJob job;
  const uint8_t* selected;
  const int* influence;  // null: never mind

  MT_HD void operator()(int64_t cell) const {
    if (selected[cell] == 0 || job.devices.IsStuckAt(cell) || (influence != nullptr && *influence != 0)) return;
    CellWriter<M> writer;
    writer.Begin(job, cell);
    const uint64_t samples = static_cast<uint64_t>(job.options.on_samples + job.options.off_samples);
    uint64_t sample = 0;
    for (writer.Decide(job); !writer.done(); writer.Decide(job)) {
      writer.Pulse(job, writer.volts(), sample);
      sample += samples;
    }
  }
};

// The cells of a tile one after the other: one thread writes a cell, then all of them apply to the other cells their
// parts of its pulses. With ideal wires these do not influence the cell, so that its pulses may come first.
template <class M>
struct WriteTile {
  ProgramJob job;
  TileShape shape;
  const uint8_t* selected;
  const int* influence;

  struct Shared {
    CellWriter<M> writer;
    int64_t pulses;  // of the train
    int runs;
    Run run[kRuns];
  };
  static constexpr int64_t kSharedBytes = sizeof(Shared);

  MT_HD void operator()(const Block& block) const {
    if (*influence == 0) return;
    Shared* shared = block.template Shared<struct WriteTile::Shared>();
    const ProgramOptions& o = job.options;
    const int64_t size = shape.rows * shape.cols, samples = o.on_samples + o.off_samples;
    int64_t sample = 0;  // noise draws of the tile so far
    for (int64_t cell = block.index() * size; cell < (block.index() + 1) * size; ++cell) {
      if (selected[cell] == 0 || job.devices.IsStuckAt(cell)) continue;
      block.Each(1, [&](int) { shared->writer.Begin(job, cell); });
      for (bool done = false; !done;) {
        block.Each(1, [&](int) { MakeTrain(sample, samples, shared); });
        done = shared->writer.done();
        const int64_t train = shared->pulses;
        Disturb(block, *shared, cell, sample);
        sample += train * samples;
      }
    }
  }

 private:
  // The next pulses of the cell, until it is done or the train is full.
  MT_HD void MakeTrain(int64_t sample, int64_t samples, Shared* shared) const {
    shared->pulses = 0;
    shared->runs = 0;
    while (shared->runs < kRuns) {
      shared->writer.Decide(job);
      if (shared->writer.done()) return;
      const double v = shared->writer.volts();
      shared->writer.Pulse(job, v, static_cast<uint64_t>(sample + shared->pulses * samples));
      if (shared->runs == 0 || shared->run[shared->runs - 1].v != v) shared->run[shared->runs++] = {v, 0};
      ++shared->run[shared->runs - 1].pulses;
      ++shared->pulses;
    }
  }

  // Applies the train to the other cells. Where unselected lines share a potential, only the cell's row and column see
  // a voltage.
  MT_HD void Disturb(const Block& block, const Shared& shared, int64_t cell, int64_t sample) const {
    const bool whole = job.options.unselected_word != job.options.unselected_bit;
    const int64_t cols = shape.cols, row = cell / cols % shape.rows, col = cell % cols;
    const int64_t others = whole ? shape.rows * cols : cols + shape.rows;
    block.Each(static_cast<int>(others), [&](int k) {
      const int64_t i = whole ? k / cols : (k < cols ? row : k - cols);
      const int64_t j = whole ? k % cols : (k < cols ? k : col);
      const int64_t other = cell + (i - row) * cols + (j - col);
      if (other == cell || job.devices.IsStuckAt(other)) return;
      const double word = i == row ? 1 : job.options.unselected_word;
      const double part = word - (j == col ? 0 : job.options.unselected_bit);
      if (part != 0) DisturbCell(shared, other, part, sample);
    });
  }

  MT_HD void DisturbCell(const Shared& shared, int64_t cell, double part, int64_t sample) const {
    const ProgramOptions& o = job.options;
    const auto p = job.devices.template ParamsAt<M>(cell);
    auto s = job.devices.template StateAt<M>(cell);
    const bool noise = M::UsesNoise(p);
    const uint64_t stream = static_cast<uint64_t>(o.first_device + cell);
    uint64_t draw = static_cast<uint64_t>(sample);
    for (int k = 0; k < shared.runs; ++k) {
      for (int64_t pulse = 0; pulse < shared.run[k].pulses; ++pulse) {
        const auto before = s;
        ApplyPulse<M>(o, p, part * shared.run[k].v, stream, draw, s);
        draw += static_cast<uint64_t>(o.on_samples + o.off_samples);
        // Pulses start without current: no later one of the run moves what this one does not.
        if (!noise && AreSame(s, before)) break;
      }
    }
    job.devices.template Write<M>(cell, p, s);
  }
};

// Errors in the end, when all pulses have been applied.
struct ConcludeCell {
  ProgramJob job;
  const uint8_t* selected;
  const uint32_t* failures;  // of solutions; null: there were none

  MT_HD void operator()(int64_t cell) const {
    if (selected[cell] == 0 || (failures != nullptr && *failures != 0)) return;
    const double g = job.devices.ConductanceAt(cell), target = job.target[cell];
    const double difference = Abs(target - g), larger = Max(Abs(target), Abs(g));
    job.report.error[cell] = difference / larger;
    if (job.devices.IsStuckAt(cell)) {
      job.report.pulses[cell] = job.report.forced[cell] = 0;
      job.report.outcome[cell] = Outcome::kFaulty;
    }
    const bool near = difference <= job.options.rel_tol * larger;
    if (job.report.outcome[cell] == Outcome::kConverged && !near) job.report.outcome[cell] = Outcome::kDisturbed;
  }
};

template <class M>
FindInfluence<M> InfluenceOf(const DeviceColumns& devices, const ProgramOptions& options, int* influence) {
  FindInfluence<M> find{devices, options.dt, {}, 0, influence};
  for (const double v : NeighbourVoltages(options)) find.volts[find.count++] = v;
  return find;
}

}  // namespace

int64_t ProgramWorkspaceBytes(const TileShape& shape, const ProgramOptions& options) {
  return kFlagBytes + (IsSolved(options) ? WiredProgramBytes(shape) : 0);
}

void Program(const std::string& model, const DeviceView& devices, const TileShape& shape, const double* target,
             const uint8_t* selected, const ProgramOptions& options, const ProgramReport& report, double* residual,
             void* workspace, void* stream) {
  const char* op = kProgramOp;
  WithModel(
      model,
      [&](auto m) {
        using M = decltype(m);
        CheckColumns<M>(op, devices);
        CheckTileShape(devices, shape);
        CheckProgramOptions(options);
        CheckSharedParams<M>(op, devices);
        const ProgramJob job{DeviceColumns(devices, kParamCount<M>), target, options, report};
        if (IsSolved(options)) {
          uint32_t* failures = static_cast<uint32_t*>(workspace);
          double* memory = reinterpret_cast<double*>(static_cast<char*>(workspace) + kFlagBytes);
          ProgramThroughWires(model, {job, shape, selected, residual, failures, memory}, stream);
          ForEach(op, devices.size, ConcludeCell{job, selected, failures}, stream);
          return;
        }
        int* influence = static_cast<int*>(workspace);
        if (options.neighbours) {
          ForEach(op, 1, ClearFlag{influence}, stream);
          ForEach(op, devices.size, InfluenceOf<M>(job.devices, options, influence), stream);
          ForBlocks<kThreads>(op, shape.tiles, WriteTile<M>::kSharedBytes,
                              WriteTile<M>{job, shape, selected, influence}, stream);
        }
        // Where there is influence these threads end at once, and where there is none the blocks above did.
        ForEach(op, devices.size, WriteCell<M>{job, selected, options.neighbours ? influence : nullptr}, stream);
        ForEach(op, devices.size, ConcludeCell{job, selected, nullptr}, stream);
      },
      op);
}

}  // namespace memtorch::cuda
