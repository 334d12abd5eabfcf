// Data_Driven2021: the successor of Data_Driven, whose speed is quadratic in the distance from the boundary.
//
// With the boundary rho(V) = r_0 + r_1 V and the speed s(V) = A (exp(|V|/t) - 1), constants _p for V > 0 and _n for V <
// 0,
//   dR/dt = s (rho - R)^2   while R has not reached rho,   I = a sinh(b V) / R
// The solution over a step dt is used, so that a step of any length is exact and never passes rho:
//   R' = R + u q / (1 + q),   u = rho - R,   q = s u dt >= 0
#ifndef MEMTORCH_ENGINE_DEVICES_DATA_DRIVEN_2021_H_
#define MEMTORCH_ENGINE_DEVICES_DATA_DRIVEN_2021_H_

#include "engine/device_model.h"
#include "engine/math.h"

namespace memtorch {

struct DataDriven2021 {
  static constexpr const char* kName = "Data_Driven2021";
  static constexpr const char* kSummary = "Resistance approaching a voltage-dependent boundary quadratically.";
  static constexpr const char* kReference =
      "After I. Messaris et al., \"A Data-Driven Verilog-A ReRAM Model\", IEEE Transactions on Computer-Aided Design "
      "of Integrated Circuits and Systems 37(12), 3151-3162, 2018, with a speed quadratic in the distance.";
  static constexpr double kTimeStep = 1e-10;
  static constexpr int kPolarity = 1;
  static constexpr bool kReadsFirst = true;
  // The boundaries at these voltages lie well beyond r_on and r_off. A step is exact for any length, so that a pulse is
  // one sample.
  static constexpr PulseSet kPulses = {2.5, -2.5, 1e-8, 0, 1e-8, 0.01, 3000};

  struct Params {
    double r_off, r_on, A_p, A_n, t_p, t_n, k_p, k_n, r_p_0, r_p_1, r_n_0, r_n_1, a_p, a_n, b_p, b_n;
  };
  struct State {
    double r;
  };

  static constexpr Field<Params> kParams[] = {
      {&Params::r_off, "r_off", 3000, "ohm", Range::kPositive, "Highest resistance."},
      {&Params::r_on, "r_on", 1600, "ohm", Range::kPositive, "Lowest resistance; below r_off."},
      {&Params::A_p, "A_p", 600.10075, "1/(ohm s)", Range::kPositive, "Speed for V > 0."},
      {&Params::A_n, "A_n", -34.5988399, "1/(ohm s)", Range::kNegative, "Speed for V < 0."},
      {&Params::t_p, "t_p", -0.0212028, "V", Range::kNegative, "Voltage scale of the speed for V > 0."},
      {&Params::t_n, "t_n", -0.05343997, "V", Range::kNegative, "Voltage scale of the speed for V < 0."},
      {&Params::k_p, "k_p", 5.11e-4, "", Range::kAny, "Accepted for compatibility; the published equation has none."},
      {&Params::k_n, "k_n", 1.17e-3, "", Range::kAny, "Accepted for compatibility; the published equation has none."},
      {&Params::r_p_0, "r_p_0", 2699.2336, "ohm", Range::kAny, "Boundary for V > 0 at V = 0."},
      {&Params::r_p_1, "r_p_1", -672.930205, "ohm/V", Range::kAny, "Slope of the boundary for V > 0."},
      {&Params::r_n_0, "r_n_0", 649.413746, "ohm", Range::kAny, "Boundary for V < 0 at V = 0."},
      {&Params::r_n_1, "r_n_1", -1474.32358, "ohm/V", Range::kAny, "Slope of the boundary for V < 0."},
      {&Params::a_p, "a_p", 0.32046175, "V", Range::kPositive, "Scale of the current for V > 0.", false, true},
      {&Params::a_n, "a_n", 0.32046175, "V", Range::kPositive, "Scale of the current for V < 0.", false, true},
      {&Params::b_p, "b_p", 2.71689828, "1/V", Range::kPositive, "Steepness of the current for V > 0.", false, true},
      {&Params::b_n, "b_n", 2.71689828, "1/V", Range::kPositive, "Steepness of the current for V < 0.", false, true},
  };
  static constexpr Field<State> kState[] = {
      {&State::r, "r", 1600, "ohm", Range::kPositive, "Resistance; g is its inverse."},
  };

  MT_HD static void Derive(Params&) {}

  struct Drive {
    double scale;  // a sinh(b V), V
    double rho;    // boundary, ohm
    double rate;   // s dt, 1/ohm: negative for V > 0, positive for V < 0
  };

  MT_HD static Drive MakeDrive(const Params& p, double v, double dt) {
    const bool positive = v > 0;
    const double speed = (positive ? p.A_p : p.A_n) * Expm1(Abs(v) / (positive ? p.t_p : p.t_n));
    const double rho = positive ? p.r_p_0 + p.r_p_1 * v : p.r_n_0 + p.r_n_1 * v;
    return {(positive ? p.a_p : p.a_n) * Sinh((positive ? p.b_p : p.b_n) * v), rho, speed * dt};
  }

  MT_HD static void Advance(const Params& p, const Drive& drive, State& s, double, double) {
    const double u = drive.rho - s.r;
    const double q = drive.rate * u;
    const double bounded = Min(q, 1e300);  // infinity / infinity must not be formed
    const double r = Clamp(s.r + u * (bounded / (1 + bounded)), p.r_on, p.r_off);
    s.r = q > 0 ? r : s.r;  // not positive: beyond rho already, or no voltage
  }

  MT_HD static double Current(const Params&, const Drive& drive, const State& s) { return drive.scale / s.r; }
  MT_HD static double Conductance(const Params&, const State& s) { return 1 / s.r; }

  MT_HD static double Shape(const Params& p, double v) {
    return (v > 0 ? p.a_p : p.a_n) * Sinh((v > 0 ? p.b_p : p.b_n) * v);
  }
  MT_HD static double ShapeSlope(const Params& p, double v) {
    const double b = v > 0 ? p.b_p : p.b_n;
    return (v > 0 ? p.a_p : p.a_n) * b * Cosh(b * v);
  }

  MT_HD static State FromConductance(const Params&, double g) { return {1 / g}; }
  MT_HD static State Initial(const Params& p) { return {p.r_on}; }
  MT_HD static bool UsesNoise(const Params&) { return false; }
  MT_HD static bool Holds(const Params&, const Drive& drive) { return drive.rate == 0; }

  MT_HD static Mismatch Conflict(const Params& p) {
    if (p.r_on < p.r_off) return {};
    return {"r_on", p.r_on, "be below", "r_off", p.r_off, "ohm"};
  }
};

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_DEVICES_DATA_DRIVEN_2021_H_
