#include "engine/program.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "engine/column_checks.h"
#include "engine/device_model.h"
#include "engine/devices/models.h"
#include "engine/parallel.h"
#include "engine/program_checks.h"
#include "engine/program_holds.h"
#include "engine/program_kernels.h"
#include "engine/program_wires.h"
#include "engine/simd.h"
#include "engine/simulate.h"
#include "engine/simulate_checks.h"

namespace memtorch {
namespace {

constexpr const char* kOp = kProgramOp;
// Cells per task where cells do not influence each other.
constexpr int64_t kCellsPerTask = 1024;
// A train of pulses is handed on to the neighbours when it has this many runs, or, so that the cell's timeout covers the
// neighbours too, this many pulses of as many samples.
constexpr size_t kRunsPerTrain = 4096;
constexpr int64_t kPulsesPerTrain = 64;
// A target may leave the device's range by the rounding of float32.
constexpr double kRangeSlack = 0x1p-23;

double Seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

template <class M>
void CheckDevices(const DeviceView& devices, const double* target, const uint8_t* selected) {
  CheckState<M>(kOp, devices);
  for (int64_t device = 0; device < devices.size; ++device) {
    if (selected[device] == 0) continue;
    const auto p = ParamsOf<M>(devices, device);
    const double low = 1 / p.r_off, high = 1 / p.r_on;
    if (target[device] >= low * (1 - kRangeSlack) && target[device] <= high * (1 + kRangeSlack)) continue;
    Invalid(kOp, "target of device ", device, " (", target[device], " S) must be within [1/r_off, 1/r_on] = [", low,
            ", ", high, "] S");
  }
}

// Whether the other cells' part of every pulse leaves every device as it is, whatever state programming brings it into,
// and g is what the states say: pulses then reach no cell but their own.
template <class M>
bool NeighboursHold(const DeviceView& devices, const ProgramOptions& o) {
  const std::vector<double> volts = NeighbourVoltages(o);
  return AllHold<M>(devices, 0, devices.size, volts, o.dt) && AllSettled<M>(devices, 0, devices.size, o.dt);
}

// Collects the pulses of one cell as runs of equal ones, and applies to every other cell of the tile its part of them.
// With ideal wires these do not influence the cell, so that its pulses may come first and theirs in long trains.
class Neighbours final : public PulseSink {
 public:
  Neighbours(int model, const ProgramJob& job, const TileShape& shape) : model_(model), job_(job), shape_(shape) {}

  void Begin(int64_t cell, int64_t sample) {
    const ProgramOptions& o = job_.options;
    const int64_t cols = shape_.cols, row = cell / cols % shape_.rows, col = cell % cols;
    groups_.clear();
    for (int64_t i = 0; i < shape_.rows; ++i) {
      const double word = i == row ? 1 : o.unselected_word;
      const bool whole = word != o.unselected_bit;  // else only the cell in the pulsed column sees a voltage
      for (int64_t j = whole ? 0 : col; j < (whole ? cols : col + 1); ++j) {
        const int64_t other = cell + (i - row) * cols + (j - col);
        if (other != cell) Take(word - (j == col ? 0 : o.unselected_bit), other);
      }
    }
    sample_ = sample;
    pulses_ = 0;
  }

  void Add(double v) override {
    const int64_t samples = job_.options.on_samples + job_.options.off_samples;
    if (runs_.empty() || runs_.back().v != v) runs_.push_back({v, 0});
    ++runs_.back().pulses;
    ++pulses_;
    const bool long_pulses = samples >= kPulsesPerTrain;
    if (runs_.size() >= kRunsPerTrain || (long_pulses && pulses_ >= kPulsesPerTrain)) Flush();
  }

  void Flush() {
    for (const Group& group : groups_) {
      ActiveProgramKernels().disturb(model_, job_, group.cells.data(), static_cast<int64_t>(group.cells.size()),
                                     group.part, runs_.data(), static_cast<int64_t>(runs_.size()), sample_);
    }
    sample_ += pulses_ * (job_.options.on_samples + job_.options.off_samples);
    pulses_ = 0;
    runs_.clear();
  }

  double Share(double) override { return 1; }

  // Noise draws of the tile so far.
  int64_t sample() const { return sample_; }

 private:
  // Cells that see the same part of pulses.
  struct Group {
    double part;
    std::vector<int64_t> cells;
  };

  void Take(double part, int64_t cell) {
    if (part == 0 || IsStuck(job_.devices, cell)) return;
    for (Group& group : groups_) {
      if (group.part == part) return group.cells.push_back(cell);
    }
    groups_.push_back({part, {cell}});
  }

  int model_;
  const ProgramJob& job_;
  TileShape shape_;
  std::vector<Group> groups_;
  std::vector<PulseRun> runs_;
  int64_t pulses_ = 0;  // in runs_
  int64_t sample_ = 0;
};

// The selected cells of a tile one after the other.
void ProgramTile(int model, const ProgramJob& job, const TileShape& shape, int64_t tile, const uint8_t* selected) {
  const int64_t size = shape.rows * shape.cols;
  Neighbours neighbours(model, job, shape);
  int64_t sample = 0;
  for (int64_t cell = tile * size; cell < (tile + 1) * size; ++cell) {
    if (selected[cell] == 0 || IsStuck(job.devices, cell)) continue;
    neighbours.Begin(cell, sample);
    ActiveProgramKernels().write(model, job, &cell, 1, sample, &neighbours);
    neighbours.Flush();
    sample = neighbours.sample();
  }
}

// Errors in the end, when all pulses have been applied.
void Conclude(const ProgramJob& job, const uint8_t* selected) {
  for (int64_t cell = 0; cell < job.devices.size; ++cell) {
    if (selected[cell] == 0) continue;
    const double g = ConductanceOf(job.devices, cell), target = job.target[cell];
    const double difference = std::fabs(target - g), larger = std::fmax(std::fabs(target), std::fabs(g));
    job.report.error[cell] = difference / larger;
    if (IsStuck(job.devices, cell)) {
      job.report.pulses[cell] = job.report.forced[cell] = 0;
      job.report.outcome[cell] = Outcome::kFaulty;
    }
    Outcome& outcome = job.report.outcome[cell];
    const bool near = difference <= job.options.rel_tol * larger;
    if (outcome == Outcome::kConverged && !near) outcome = Outcome::kDisturbed;
  }
}

// Copies of columns, to be put back.
class Copies {
 public:
  void Keep(void* column, size_t bytes) {
    const char* data = static_cast<const char*>(column);
    kept_.push_back({column, std::vector<char>(data, data + bytes)});
  }
  void PutBack() const {
    for (const auto& [column, data] : kept_) std::copy(data.begin(), data.end(), static_cast<char*>(column));
  }

 private:
  std::vector<std::pair<void*, std::vector<char>>> kept_;
};

// All that programming changes.
template <class M>
Copies CopiesOf(const DeviceView& devices, const ProgramReport& report) {
  const size_t n = static_cast<size_t>(devices.size);
  Copies copies;
  for (int i = 0; i < kStateCount<M>; ++i) copies.Keep(devices.state[i], n * sizeof(double));
  if (devices.g.f32 != nullptr) copies.Keep(devices.g.f32, n * sizeof(float));
  if (devices.g.f64 != nullptr) copies.Keep(devices.g.f64, n * sizeof(double));
  copies.Keep(report.pulses, n * sizeof(int64_t));
  copies.Keep(report.outcome, n * sizeof(Outcome));
  copies.Keep(report.forced, n * sizeof(int64_t));
  return copies;
}

template <class Real>
void CheckCircuit(Real* g, const TileShape& shape) {
  if (g != nullptr) CheckConductances(kOp, GridView<const Real>(g, shape.tiles, shape.rows, shape.cols));
}

// A circuit that is not solved must leave no half of a write.
template <class M>
void ProgramSolved(int model, const ProgramJob& job, const TileShape& shape, const uint8_t* selected) {
  CheckCircuit(job.devices.g.f32, shape);
  CheckCircuit(job.devices.g.f64, shape);
  const Copies before = CopiesOf<M>(job.devices, job.report);
  try {
    ParallelFor(shape.tiles, 1, [&](int64_t begin, int64_t end) {
      for (int64_t tile = begin; tile < end; ++tile) ProgramSolvedTile(model, job, shape, tile, selected);
    });
  } catch (...) {
    before.PutBack();
    throw;
  }
}

}  // namespace

const ProgramKernels& ActiveProgramKernels() { return Select(baseline::kProgram, avx2::kProgram, avx512::kProgram); }

void Program(const std::string& model, const DeviceView& devices, const TileShape& shape, const double* target,
             const uint8_t* selected, const ProgramOptions& options, const ProgramReport& report) {
  const int index = ModelIndex(kOp, model);
  WithModelAt(index, [&](auto m) {
    using M = decltype(m);
    CheckColumns<M>(kOp, devices);
    CheckTileShape(devices, shape);
    CheckProgramOptions(options);
    CheckParams(kOp, model, devices);
    CheckDevices<M>(devices, target, selected);
    const bool solved = IsSolved(options);
    const ProgramJob job{devices, target, options, report, AnyNoise<M>(devices), solved, Seconds};
    if (solved) {
      ProgramSolved<M>(index, job, shape, selected);
      Conclude(job, selected);
      return;
    }
    std::vector<int64_t> cells;
    for (int64_t cell = 0; cell < devices.size; ++cell) {
      if (selected[cell] != 0 && !IsStuck(devices, cell)) cells.push_back(cell);
    }
    const auto independent = [&] { return cells.size() > 1 && !job.noise && NeighboursHold<M>(devices, options); };
    if (!options.neighbours || independent()) {
      ParallelFor(static_cast<int64_t>(cells.size()), kCellsPerTask, [&](int64_t begin, int64_t end) {
        ActiveProgramKernels().write(index, job, cells.data() + begin, end - begin, 0, nullptr);
      });
    } else {
      ParallelFor(shape.tiles, 1, [&](int64_t begin, int64_t end) {
        for (int64_t tile = begin; tile < end; ++tile) ProgramTile(index, job, shape, tile, selected);
      });
    }
    Conclude(job, selected);
  });
}

}  // namespace memtorch
