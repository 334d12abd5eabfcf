// The node potentials of a grid of non-linear devices, found by one block of threads: Newton's method of
// engine/grid/nodes.cc on a GPU.
#ifndef MEMTORCH_ENGINE_CUDA_NEWTON_NODES_H_
#define MEMTORCH_ENGINE_CUDA_NEWTON_NODES_H_

#include "engine/cuda/linear_nodes.h"
#include "engine/grid/nodes.h"

namespace memtorch::cuda {

// Memory of one solution, arrays of nodes.
struct NewtonArrays {
  double *w, *b;                   // potentials
  double *bring, *take;            // amperes: wires to word nodes, and bit nodes to wires
  double *into_word, *into_bit;    // what nodes lack of that
  double* g;                       // slopes, or chords
  double *bit_ratio, *word_ratio;  // of NodeLines
  LinearArrays linear;

  static constexpr int64_t kWithoutPotentials = 13;
};

// Curve: `MT_HD void operator()(int64_t node, double v, double* current, double* slope) const`, amperes and siemens of the
// device at a node at v volts. A slope below 0 counts as 0.
template <class Curve>
class NewtonNodes {
 public:
  // Of `circuit`, its devices and ratios are those of `arrays`.
  MT_HD NewtonNodes(const Block& block, const NodeLines& circuit, const Curve& curve, const NewtonArrays& arrays)
      : block_(block),
        lines_(circuit.With(arrays.g, arrays.bit_ratio, arrays.word_ratio)),
        curve_(curve),
        arrays_(arrays),
        linear_(block, lines_, arrays.linear) {}
  NewtonNodes(const NewtonNodes&) = delete;  // linear_ points to lines_
  NewtonNodes& operator=(const NewtonNodes&) = delete;

  // Solves for w and b with volts [rows] and [cols] (null: 0 V) at drivers and senses; with options.warm from what they
  // hold. Returns the residual.
  MT_HD double Solve(const double* word_volts, const double* bit_volts, const NodeOptions& options) {
    constexpr int kSteps = 100;
    volts_ = {nullptr, nullptr, word_volts, bit_volts};
    // Potentials that are given are left again where a first step from there leads nowhere.
    bool trial = options.warm, renewed = false;
    if (!trial) PlaceAtSources();
    Begin(!trial);
    for (int step = 0; step < kSteps; ++step) {
      bool renew = trial;
      double wanted = kFirstPart;
      if (!trial) {
        if (!(lacking_ < kLost)) break;
        if (lacking_ > options.tolerance) {
          wanted = Clamp(kPart * lacking_ * lacking_, kLastPart * options.tolerance, kFirstPart);
        } else if (Rounding() > 0.5 * options.tolerance && !renewed) {
          renewed = renew = true;
          wanted = kLastPart * options.tolerance;
        } else {
          break;
        }
      }
      const double before = squares_;
      if (lacking_ < kLost) Step(renew, wanted, options.tolerance);
      if (trial && !(squares_ < before)) {
        PlaceAtSources();
        Begin(true);
      }
      trial = false;
    }
    return LargerOrNaN(lacking_, Rounding());
  }

 private:
  static constexpr double kLost = 1e300;
  static constexpr int kEvaluations = 30;  // of a step: whole, then halved
  // How far a step solves its linear circuit: see engine/grid/nodes.cc.
  static constexpr double kPart = 0.5, kFirstPart = 1e-2, kLastPart = 0.5;

  // body(node), spread over the threads.
  template <class Body>
  MT_HD void EachNode(const Body& body) const {
    block_.Each(block_.threads(), [&](int thread) {
      for (int64_t k = thread; k < lines_.nodes(); k += block_.threads()) body(k);
    });
  }

  // What may be wrong in what is carried along, in parts of the largest current: nobody else would see it.
  MT_HD double Rounding() const { return worst_ == 0 ? 0 : 2.220446049250313e-16 * worst_ / largest_; }

  struct Mean {
    double sum = 0, count = 0;
    MT_HD void Add(const Mean& other) {
      sum += other.sum;
      count += other.count;
    }
    MT_HD void AddVolts(double siemens, double volts) {
      if (siemens == 0) return;
      sum += volts;
      ++count;
    }
    MT_HD double Get() const { return count == 0 ? 0 : sum / count; }
  };

  // Wires without current: every node at its source, lines without one all along at the mean of what they cross.
  MT_HD void PlaceAtSources() {
    const double *word = volts_.word_volts, *bit = volts_.bit_volts;
    const double word_mean = Over<Mean>(block_, lines_.rows, [&](int64_t i, Mean* mean) {
                               mean->AddVolts(lines_.Source(i), word[i]);
                             }).Get();
    const double bit_mean = Over<Mean>(block_, lines_.cols, [&](int64_t j, Mean* mean) {
                              mean->AddVolts(lines_.Load(j), bit == nullptr ? 0 : bit[j]);
                            }).Get();
    EachNode([&](int64_t k) {
      const int64_t i = k / lines_.cols, j = k % lines_.cols;
      arrays_.w[k] = lines_.Source(i) == 0 ? bit_mean : word[i];
      arrays_.b[k] = lines_.Load(j) == 0 ? word_mean : (bit == nullptr ? 0 : bit[j]);
    });
  }

  // From the potentials as they stand, wires without current.
  MT_HD void Begin(bool chords) {
    EachNode([&](int64_t k) { arrays_.bring[k] = arrays_.take[k] = 0; });
    Evaluate(0, chords);
    worst_ = largest_;
  }

  struct Sums {
    double lacking = 0, largest = 0, squares = 0;
    MT_HD void Add(const Sums& other) {
      lacking = LargerOrNaN(lacking, other.lacking);
      largest = LargerOrNaN(largest, other.largest);
      squares += other.squares;
    }
  };

  // Goes `part` of the way to the linear solution. Currents and slopes of the devices there, and what these currents lack
  // at the nodes.
  MT_HD void Evaluate(double part, bool chords) {
    const NewtonArrays& a = arrays_;
    const Sums sums = Over<Sums>(block_, lines_.nodes(), [&](int64_t k, Sums* total) {
      if (part == 1) linear_.change()[k] += linear_.flow()[k] - (a.bring[k] - a.take[k]);
      if (part != 0) {
        a.w[k] += part * linear_.w()[k];
        a.b[k] += part * linear_.b()[k];
        a.bring[k] += part * linear_.change()[k];
        a.take[k] += part * linear_.flow()[k];
      }
      const double v = a.w[k] - a.b[k];
      double current, slope;
      curve_(k, v, &current, &slope);
      if (chords && v != 0) slope = current / v;
      a.g[k] = slope >= 0 ? Min(slope, kMaxSiemens) : 0;
      const double word = a.bring[k] - current, bit = current - a.take[k];
      a.into_word[k] = word;
      a.into_bit[k] = bit;
      total->Add({LargerOrNaN(Abs(word), Abs(bit)), Abs(current), word * word + bit * bit});
    });
    squares_ = sums.squares;
    largest_ = sums.largest;
    lacking_ = sums.lacking == 0 ? 0 : sums.lacking / sums.largest;
    if (!(squares_ < kLost)) lacking_ = memtorch::internal::kInfinity;  // NaN too
  }

  // One Newton step, halved until it brings the circuit nearer to Kirchhoff's law. `renew`: one that does not need to know
  // what wires bring, all of it from the sources, and as a whole.
  MT_HD void Step(bool renew, double wanted, double tolerance) {
    const NewtonArrays& a = arrays_;
    if (renew) {
      EachNode([&](int64_t k) {
        const double rest = (a.into_bit[k] + a.take[k]) - a.g[k] * (a.w[k] - a.b[k]);
        a.into_word[k] = -rest;
        a.into_bit[k] = rest;
        a.bring[k] = a.take[k] = 0;
        linear_.b()[k] = a.b[k];
      });
    }
    FactorNodes(block_, lines_);
    const Inflow in = {a.into_word, a.into_bit, renew ? volts_.word_volts : nullptr,
                       renew ? volts_.bit_volts : nullptr};
    linear_.Solve(in, renew, largest_, wanted);
    if (renew) {
      EachNode([&](int64_t k) {
        linear_.w()[k] -= a.w[k];
        linear_.b()[k] -= a.b[k];
      });
    }
    worst_ = renew ? linear_.largest().term : LargerOrNaN(worst_, linear_.largest().term);
    const double before = squares_;
    double part = 1, go = 1;
    for (int evaluation = 1;; ++evaluation) {
      Evaluate(go, false);
      if (renew || evaluation == kEvaluations || lacking_ <= tolerance) break;
      if (lacking_ < kLost && squares_ <= (1 - 0.1 * part) * before) break;
      part /= 2;
      go = -part;
    }
    if (!renew) worst_ = LargerOrNaN(worst_, largest_);
  }

  const Block block_;
  const NodeLines lines_;
  const Curve& curve_;
  const NewtonArrays arrays_;
  LinearNodes linear_;
  Inflow volts_{};
  double squares_ = 0, largest_ = 0, lacking_ = 0;
  double worst_ = 0;  // the largest current that has entered what is carried along: its rounding stays in there
};

}  // namespace memtorch::cuda

#endif  // MEMTORCH_ENGINE_CUDA_NEWTON_NODES_H_
