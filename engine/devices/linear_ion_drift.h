// LinearIonDrift: a doped and an undoped region in series, whose boundary drifts with the current.
//
// D. B. Strukov, G. S. Snider, D. R. Stewart and R. S. Williams, "The missing memristor found", Nature 453, 2008, with
// write thresholds and Joglekar's window:
//   R(x) = r_on x + r_off (1 - x),   dx/dt = u_v r_on / d^2 * I * (1 - (2x - 1)^(2p))
#ifndef MEMTORCH_ENGINE_DEVICES_LINEAR_ION_DRIFT_H_
#define MEMTORCH_ENGINE_DEVICES_LINEAR_ION_DRIFT_H_

#include "engine/device_model.h"
#include "engine/devices/windows.h"
#include "engine/math.h"

namespace memtorch {

struct LinearIonDrift {
  static constexpr const char* kName = "LinearIonDrift";
  static constexpr const char* kSummary = "Linear drift of a dopant boundary with write thresholds and a window.";
  static constexpr const char* kReference =
      "D. B. Strukov, G. S. Snider, D. R. Stewart and R. S. Williams, \"The missing memristor found\", Nature 453, "
      "80-83, 2008.";
  static constexpr double kTimeStep = 1e-4;
  static constexpr int kPolarity = 1;
  static constexpr bool kReadsFirst = true;
  // Half of either voltage is below the write thresholds. A pulse moves g by at most 3.2 % upwards and 1.8 % downwards:
  // what overshoots comes back into the 2 % that rel_tol allows. The window makes the way up from r_off slow.
  static constexpr PulseSet kPulses = {1.05, -0.6, 3e-4, 0, kTimeStep, 0.01, 20000};
  // The window is evaluated at x clipped to [kWindowMargin, 1 - kWindowMargin]: it is 0 at both bounds, and a device
  // that reached one would never leave it.
  static constexpr double kWindowMargin = 1e-3;

  struct Params {
    double u_v, d, r_on, r_off, pos_write_threshold, neg_write_threshold, p;
  };
  struct State {
    double x;
  };

  static constexpr Field<Params> kParams[] = {
      {&Params::u_v, "u_v", 1e-14, "m^2/Vs", Range::kPositive, "Mobility of the dopants."},
      {&Params::d, "d", 10e-9, "m", Range::kPositive, "Thickness of the device."},
      {&Params::r_on, "r_on", 100, "ohm", Range::kPositive, "Resistance at x = 1; below r_off."},
      {&Params::r_off, "r_off", 16e3, "ohm", Range::kPositive, "Resistance at x = 0."},
      {&Params::pos_write_threshold, "pos_write_threshold", 0.55, "V", Range::kAny,
       "The state moves at this voltage and above."},
      {&Params::neg_write_threshold, "neg_write_threshold", -0.55, "V", Range::kAny,
       "The state moves at this voltage and below."},
      {&Params::p, "p", 1, "", Range::kPositive, "Exponent of Joglekar's window.", true},
  };
  static constexpr Field<State> kState[] = {
      {&State::x, "x", 1, "", Range::kNonNegative, "Doped fraction of the thickness: 1 conducts best."},
  };

  MT_HD static void Derive(Params&) {}

  struct Drive {
    double v;
    double gain;  // change of x per ampere without window
  };

  MT_HD static Drive MakeDrive(const Params& p, double v, double dt) {
    const bool writes = v >= p.pos_write_threshold || v <= p.neg_write_threshold;
    // Voltages and gains stop far beyond anything that matters, so that neither a current nor its product with the gain
    // is infinite: times a window of 0 that would be no number.
    const double volts = Clamp(v, -1e250, 1e250);
    const double limit = 1e150 * p.r_on / Max(Abs(volts), p.r_on);
    return {volts, writes ? Min(p.u_v * (p.r_on / (p.d * p.d)) * dt, limit) : 0};
  }

  MT_HD static void Advance(const Params& p, const Drive& drive, State& s, double last_current, double) {
    const double window = Joglekar(Clamp(s.x, kWindowMargin, 1 - kWindowMargin), p.p);
    s.x = Clamp(s.x + drive.gain * last_current * window, 0, 1);
  }

  MT_HD static double Current(const Params& p, const Drive& drive, const State& s) {
    return drive.v / (p.r_on * s.x + p.r_off * (1 - s.x));
  }

  MT_HD static double Conductance(const Params& p, const State& s) { return 1 / (p.r_on * s.x + p.r_off * (1 - s.x)); }

  MT_HD static double Shape(const Params&, double v) { return v; }
  MT_HD static double ShapeSlope(const Params&, double) { return 1; }

  MT_HD static State FromConductance(const Params& p, double g) {
    return {Clamp((p.r_off - 1 / g) / (p.r_off - p.r_on), 0, 1)};
  }

  MT_HD static State Initial(const Params&) { return {1}; }
  MT_HD static bool UsesNoise(const Params&) { return false; }
  MT_HD static bool Holds(const Params&, const Drive& drive) { return drive.gain == 0; }

  MT_HD static Mismatch Conflict(const Params& p) {
    if (p.r_on < p.r_off) return {};
    return {"r_on", p.r_on, "be below", "r_off", p.r_off, "ohm"};
  }
};

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_DEVICES_LINEAR_ION_DRIFT_H_
