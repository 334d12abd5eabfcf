// VTEAM: voltage-threshold adaptive memristor.
//
// S. Kvatinsky, M. Ramadan, E. G. Friedman and A. Kolodny, "VTEAM: A General Model for Voltage-Controlled Memristors",
// IEEE Transactions on Circuits and Systems II 62(8), 2015, without a window function:
//   dx/dt = k_off (V/v_off - 1)^alpha_off   for V >= v_off > 0
//           k_on  (V/v_on - 1)^alpha_on     for V <= v_on < 0,   0 between
//   R(x) = r_on + (r_off - r_on) x/d,  or  r_on (r_off/r_on)^(x/d)
#ifndef MEMTORCH_ENGINE_DEVICES_VTEAM_H_
#define MEMTORCH_ENGINE_DEVICES_VTEAM_H_

#include "engine/device_model.h"
#include "engine/math.h"

namespace memtorch {

struct Vteam {
  static constexpr const char* kName = "VTEAM";
  static constexpr const char* kSummary = "Voltage-threshold adaptive memristor.";
  static constexpr const char* kReference =
      "S. Kvatinsky, M. Ramadan, E. G. Friedman and A. Kolodny, \"VTEAM: A General Model for Voltage-Controlled "
      "Memristors\", IEEE Transactions on Circuits and Systems II 62(8), 786-790, 2015.";
  static constexpr double kTimeStep = 1e-10;
  static constexpr int kPolarity = -1;
  static constexpr bool kReadsFirst = false;
  // Half of either voltage is below v_off and v_on. A pulse moves the resistance by 0.6 ohm upwards or 1 ohm downwards,
  // within the 2 % that rel_tol allows at r_on = 50 ohm.
  static constexpr PulseSet kPulses = {0.039, -0.2085, 4e-9, 0, kTimeStep, 0.01, 2000};

  struct Params {
    double r_off, r_on, d, k_on, k_off, alpha_on, alpha_off, v_on, v_off, x_on, x_off, exponential_iv;
    double lambda;  // ln(r_off / r_on)
  };
  struct State {
    double x;
  };

  static constexpr Field<Params> kParams[] = {
      {&Params::r_off, "r_off", 1000, "ohm", Range::kPositive, "Resistance at x = d."},
      {&Params::r_on, "r_on", 50, "ohm", Range::kPositive, "Resistance at x = 0; below r_off."},
      {&Params::d, "d", 3e-9, "m", Range::kPositive, "Thickness of the device."},
      {&Params::k_on, "k_on", -10, "m/s", Range::kNegative, "Speed of the state at V = 2 v_on."},
      {&Params::k_off, "k_off", 5e-4, "m/s", Range::kPositive, "Speed of the state at V = 2 v_off."},
      {&Params::alpha_on, "alpha_on", 3, "", Range::kNonNegative, "Exponent of the speed below v_on."},
      {&Params::alpha_off, "alpha_off", 1, "", Range::kNonNegative, "Exponent of the speed above v_off."},
      {&Params::v_on, "v_on", -0.2, "V", Range::kNegative, "Threshold of the switch to low resistance."},
      {&Params::v_off, "v_off", 0.02, "V", Range::kPositive, "Threshold of the switch to high resistance."},
      {&Params::x_on, "x_on", 0, "m", Range::kNonNegative, "Lower bound of the state; a fresh device is there."},
      {&Params::x_off, "x_off", 3e-9, "m", Range::kPositive, "Upper bound of the state; at most d."},
      {&Params::exponential_iv, "exponential_iv", 0, "", Range::kFlag,
       "0: the resistance is linear in the state, 1: exponential.", true},
  };
  static constexpr Field<State> kState[] = {
      {&State::x, "x", 0, "m", Range::kNonNegative, "Position of the boundary: low conducts best."},
  };

  MT_HD static void Derive(Params& p) { p.lambda = Log(p.r_off / p.r_on); }

  struct Drive {
    double v;
    double dx;
  };

  MT_HD static Drive MakeDrive(const Params& p, double v, double dt) {
    const bool off = v >= p.v_off;
    const bool on = v <= p.v_on;
    const double excess = Max(v / (off ? p.v_off : p.v_on) - 1, 0);
    const double speed = (off ? p.k_off : p.k_on) * Pow(excess, off ? p.alpha_off : p.alpha_on);
    return {v, off || on ? speed * dt : 0};
  }

  MT_HD static void Advance(const Params& p, const Drive& drive, State& s, double, double) {
    s.x = Clamp(s.x + drive.dx, p.x_on, p.x_off);
  }

  MT_HD static double Current(const Params& p, const Drive& drive, const State& s) {
    return drive.v / Resistance(p, s);
  }

  MT_HD static double Conductance(const Params& p, const State& s) { return 1 / Resistance(p, s); }

  MT_HD static double Shape(const Params&, double v) { return v; }
  MT_HD static double ShapeSlope(const Params&, double) { return 1; }

  MT_HD static State FromConductance(const Params& p, double g) {
    const double r = 1 / g;
    const double w = p.exponential_iv != 0 ? Log(r / p.r_on) / p.lambda : (r - p.r_on) / (p.r_off - p.r_on);
    return {Clamp(p.d * w, p.x_on, p.x_off)};
  }

  MT_HD static State Initial(const Params& p) { return {p.x_on}; }
  MT_HD static bool UsesNoise(const Params&) { return false; }
  MT_HD static bool Holds(const Params&, const Drive& drive) { return drive.dx == 0; }

  MT_HD static Mismatch Conflict(const Params& p) {
    if (!(p.r_on < p.r_off)) return {"r_on", p.r_on, "be below", "r_off", p.r_off, "ohm"};
    if (!(p.x_on < p.x_off)) return {"x_on", p.x_on, "be below", "x_off", p.x_off, "m"};
    if (!(p.x_off <= p.d)) return {"x_off", p.x_off, "be at most", "d", p.d, "m"};
    return {};
  }

 private:
  MT_HD static double Resistance(const Params& p, const State& s) {
    const double w = s.x / p.d;
    return p.exponential_iv != 0 ? p.r_on * Exp(p.lambda * w) : p.r_off * w + p.r_on * (1 - w);
  }
};

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_DEVICES_VTEAM_H_
