// Data_Driven: a resistance that relaxes towards a voltage-dependent boundary, fitted to measured oxide devices.
//
// I. Messaris, A. Serb, S. Stathopoulos, A. Khiat, S. Nikolaidis and T. Prodromakis, "A Data-Driven Verilog-A ReRAM
// Model", IEEE Transactions on Computer-Aided Design 37(12), 2018. With the boundary rho(V) = r_0 + r_1 V and the
// sensitivity S(V) = A (exp(t |V|) - 1), constants _p for V > 0 and _n for V < 0,
//   dR/dt = S (exp(+-eta k (rho - R)) - 1)   while eta R has not passed eta rho,   I = a sinh(b V) / R
// whose solution over a step dt is used, so that a step of any length is exact:
//   R' = R +- ln(E + (1 - E) e^z) / (eta k),   z = +-eta k (rho - R) > 0,   E = exp(-+eta k S dt) < 1
#ifndef MEMTORCH_ENGINE_DEVICES_DATA_DRIVEN_H_
#define MEMTORCH_ENGINE_DEVICES_DATA_DRIVEN_H_

#include "engine/device_model.h"
#include "engine/math.h"

namespace memtorch {

struct DataDriven {
  static constexpr const char* kName = "Data_Driven";
  static constexpr const char* kSummary = "Resistance relaxing towards a voltage-dependent boundary.";
  static constexpr const char* kReference =
      "I. Messaris, A. Serb, S. Stathopoulos, A. Khiat, S. Nikolaidis and T. Prodromakis, \"A Data-Driven Verilog-A "
      "ReRAM Model\", IEEE Transactions on Computer-Aided Design of Integrated Circuits and Systems 37(12), 3151-3162, "
      "2018.";
  static constexpr double kTimeStep = 1e-8;
  static constexpr int kPolarity = -1;
  static constexpr bool kReadsFirst = true;
  // Positive pulses are fine steps above some 6 kohm, negative ones below: a target is passed in coarse steps of one sign
  // and met in fine ones of the other. A step is exact for any length, so that a pulse is one sample. Resistances beyond
  // the boundary of positive voltages (r_p, 16.7 kohm) are reached from r_off, or by force from below.
  static constexpr PulseSet kPulses = {1, -1.25, 1e-6, 0, 1e-6, 0.01, 30000};

  struct Params {
    double r_off, r_on, A_p, A_n, t_p, t_n, k_p, k_n, r_p_0, r_p_1, r_n_0, r_n_1, eta, a_p, a_n, b_p, b_n;
  };
  struct State {
    double r;
  };

  static constexpr Field<Params> kParams[] = {
      {&Params::r_off, "r_off", 17e3, "ohm", Range::kPositive, "Highest resistance."},
      {&Params::r_on, "r_on", 1280, "ohm", Range::kPositive, "Lowest resistance; below r_off."},
      {&Params::A_p, "A_p", 743.47, "ohm/s", Range::kAny, "Sensitivity for V > 0; has the sign of eta."},
      {&Params::A_n, "A_n", -68012.28374, "ohm/s", Range::kAny, "Sensitivity for V < 0; has the sign of -eta."},
      {&Params::t_p, "t_p", 6.51, "1/V", Range::kPositive, "Growth of the sensitivity for V > 0."},
      {&Params::t_n, "t_n", 0.31645, "1/V", Range::kPositive, "Growth of the sensitivity for V < 0."},
      {&Params::k_p, "k_p", 5.11e-4, "1/ohm", Range::kPositive, "Growth of the speed away from the boundary, V > 0."},
      {&Params::k_n, "k_n", 1.17e-3, "1/ohm", Range::kPositive, "Growth of the speed away from the boundary, V < 0."},
      {&Params::r_p_0, "r_p_0", 16719, "ohm", Range::kAny, "Boundary for V > 0 at V = 0."},
      {&Params::r_p_1, "r_p_1", 0, "ohm/V", Range::kAny, "Slope of the boundary for V > 0."},
      {&Params::r_n_0, "r_n_0", 29304.82557, "ohm", Range::kAny, "Boundary for V < 0 at V = 0."},
      {&Params::r_n_1, "r_n_1", 23692.77225, "ohm/V", Range::kAny, "Slope of the boundary for V < 0."},
      {&Params::eta, "eta", 1, "", Range::kAny, "Polarity: 1, or -1 for a device mounted the other way round."},
      {&Params::a_p, "a_p", 0.24, "V", Range::kPositive, "Scale of the current for V > 0.", false, true},
      {&Params::a_n, "a_n", 0.24, "V", Range::kPositive, "Scale of the current for V < 0.", false, true},
      {&Params::b_p, "b_p", 3, "1/V", Range::kPositive, "Steepness of the current for V > 0.", false, true},
      {&Params::b_n, "b_n", 3, "1/V", Range::kPositive, "Steepness of the current for V < 0.", false, true},
  };
  static constexpr Field<State> kState[] = {
      {&State::r, "r", 1280, "ohm", Range::kPositive, "Resistance; g is its inverse."},
  };

  MT_HD static void Derive(Params&) {}

  struct Drive {
    double scale;    // a sinh(b V), V
    double rho;      // boundary, ohm
    double k;        // +-eta k, 1/ohm: R moves by z / k in the end
    double inverse;  // 1 / k
    double gain;     // 1 - E: 0 at rest, 1 for a step that reaches the boundary
  };

  MT_HD static Drive MakeDrive(const Params& p, double v, double dt) {
    const bool positive = v > 0;
    const double magnitude = Abs(v);
    const double sensitivity = (positive ? p.A_p : p.A_n) * Expm1((positive ? p.t_p : p.t_n) * magnitude);
    const double k = p.eta * (positive ? p.k_p : -p.k_n);
    const double rho = positive ? p.r_p_0 + p.r_p_1 * v : p.r_n_0 + p.r_n_1 * v;
    const double scale = (positive ? p.a_p : p.a_n) * Sinh((positive ? p.b_p : p.b_n) * v);
    return {scale, rho, k, 1 / k, -Expm1(-k * sensitivity * dt)};
  }

  MT_HD static void Advance(const Params& p, const Drive& drive, State& s, double, double) {
    // ln(E + (1 - E) e^z) = ln(1 + gain (e^z - 1)); where e^z would overflow it is z + ln(gain), linear in z, as long
    // as gain e^kCap is far above 1. A smaller gain (a voltage within 1e-200 of 0) moves nothing.
    constexpr double kCap = 600;
    const double z = drive.k * (drive.rho - s.r);
    const double bounded = Clamp(z, 0, kCap);
    const double beyond = drive.gain > 1e-200 ? Max(z - kCap, 0) : 0;
    const double moved = Log1pPositive(drive.gain * Expm1Positive(bounded)) + beyond;
    const double r = Clamp(s.r + moved * drive.inverse, p.r_on, p.r_off);
    s.r = z > 0 ? r : s.r;
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
  MT_HD static bool Holds(const Params&, const Drive& drive) { return drive.gain == 0; }

  MT_HD static Mismatch Conflict(const Params& p) {
    if (!(p.r_on < p.r_off)) return {"r_on", p.r_on, "be below", "r_off", p.r_off, "ohm"};
    if (p.eta == 0) return {"eta", p.eta, "not be 0"};
    if (!(p.eta * p.A_p > 0)) return {"A_p", p.A_p, "be of the sign of", "eta", p.eta, ""};
    if (!(p.eta * p.A_n < 0)) return {"A_n", p.A_n, "be of the sign opposite to", "eta", p.eta, ""};
    return {};
  }
};

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_DEVICES_DATA_DRIVEN_H_
