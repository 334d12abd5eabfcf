// Stanford_PKU: a filament with a tunnelling gap; the gap grows and closes with field and temperature.
//
// Z. Jiang et al., "A Compact Model for Metal-Oxide Resistive Random Access Memory With Experiment Verification", IEEE
// Transactions on Electron Devices 63(5), 2016:
//   I = I_0 exp(-gap/g_0) sinh(V/V_0),   T = T_init + |V I R_th|
//   dgap/dt = -vel_0 exp(-q E_a/(k T)) sinh(gamma a_0 q V / (t_ox k T)) + noise
//   gamma = gamma_init - beta (gap/1 nm)^3, 0 while the enhanced field gamma |V|/t_ox is below F_min
#ifndef MEMTORCH_ENGINE_DEVICES_STANFORD_PKU_H_
#define MEMTORCH_ENGINE_DEVICES_STANFORD_PKU_H_

#include "engine/device_model.h"
#include "engine/math.h"

namespace memtorch {

struct StanfordPku {
  static constexpr const char* kName = "Stanford_PKU";
  static constexpr const char* kSummary = "Filament with a tunnelling gap, Joule heating and optional noise.";
  static constexpr const char* kReference =
      "Z. Jiang et al., \"A Compact Model for Metal-Oxide Resistive Random Access Memory With Experiment "
      "Verification\", IEEE Transactions on Electron Devices 63(5), 1884-1892, 2016.";
  static constexpr double kTimeStep = 1e-4;
  static constexpr int kPolarity = 1;
  static constexpr bool kReadsFirst = false;
  // Above the 1.39 V from which F_min lets the widest gap move; half is below the 1.05 V of the narrowest. With the
  // default time step one sample would cross the whole range many times: a pulse is one sample of a ten-millionth of it.
  static constexpr PulseSet kPulses = {1.4, -1.4, 1.5e-10, 0, 1.5e-10, 0.01, 5000};
  static constexpr double kElementaryCharge = 1.6e-19;  // C, as rounded in the model's published code
  static constexpr double kBoltzmann = 1.3806503e-23;   // J/K
  // What grows exponentially or with the voltage stops here, beyond anything that matters: 0 times infinity is no number.
  static constexpr double kHuge = 1e150;

  struct Params {
    double r_off, r_on, gap_init, g_0, V_0, I_0, read_voltage, T_init, R_th, gamma_init, beta, t_ox, F_min, vel_0, E_a,
        a_0, delta_g_init, model_switch, T_crit, T_smth;
    double read_scale;        // conductance of a closed gap at read_voltage, S
    double shape_scale;       // read_voltage over the growth of the current up to it, V
    double gap_min, gap_max;  // the gaps of r_on and r_off, m
  };
  struct State {
    double gap;
  };

  static constexpr Field<Params> kParams[] = {
      {&Params::r_off, "r_off", 218586, "ohm", Range::kPositive, "Resistance at read_voltage and the widest gap."},
      {&Params::r_on, "r_on", 542, "ohm", Range::kPositive,
       "Resistance at read_voltage and the narrowest gap; below r_off."},
      {&Params::gap_init, "gap_init", 2e-10, "m", Range::kAny,
       "Gap of a fresh device, moved into the bounds that r_on and r_off set."},
      {&Params::g_0, "g_0", 0.25e-9, "m", Range::kPositive, "Length over which the current falls by e."},
      {&Params::V_0, "V_0", 0.25, "V", Range::kPositive, "Voltage scale of the current.", false, true},
      {&Params::I_0, "I_0", 1e-3, "A", Range::kPositive, "Current scale."},
      {&Params::read_voltage, "read_voltage", 0.1, "V", Range::kPositive, "Voltage at which g is the conductance.",
       false, true},
      {&Params::T_init, "T_init", 298, "K", Range::kPositive, "Ambient temperature."},
      {&Params::R_th, "R_th", 2.1e3, "K/W", Range::kNonNegative, "Thermal resistance."},
      {&Params::gamma_init, "gamma_init", 16, "", Range::kAny, "Field enhancement at a closed gap."},
      {&Params::beta, "beta", 0.8, "", Range::kNonNegative, "Loss of field enhancement at a gap of 1 nm."},
      {&Params::t_ox, "t_ox", 12e-9, "m", Range::kPositive, "Thickness of the oxide."},
      {&Params::F_min, "F_min", 1.4e9, "V/m", Range::kNonNegative, "Enhanced field below which the gap stays."},
      {&Params::vel_0, "vel_0", 10, "m/s", Range::kNonNegative, "Velocity scale of the gap."},
      {&Params::E_a, "E_a", 0.6, "eV", Range::kNonNegative, "Activation energy."},
      {&Params::a_0, "a_0", 0.25e-9, "m", Range::kPositive, "Distance between atoms."},
      {&Params::delta_g_init, "delta_g_init", 0.02, "m/s", Range::kNonNegative, "Strength of the gap noise."},
      {&Params::model_switch, "model_switch", 0, "", Range::kFlag, "1: the gap moves with noise.", true},
      {&Params::T_crit, "T_crit", 450, "K", Range::kAny, "Temperature at which the noise has half its strength."},
      {&Params::T_smth, "T_smth", 500, "K", Range::kPositive, "Width of the rise of the noise with temperature."},
  };
  static constexpr Field<State> kState[] = {
      {&State::gap, "gap", 2e-10, "m", Range::kPositive, "Tunnelling gap: narrow conducts best."},
  };

  MT_HD static void Derive(Params& p) {
    const double growth = Sinh(p.read_voltage / p.V_0);
    p.read_scale = p.I_0 * growth / p.read_voltage;
    p.shape_scale = p.read_voltage / growth;
    p.gap_min = p.g_0 * Log(p.read_scale * p.r_on);
    p.gap_max = p.g_0 * Log(p.read_scale * p.r_off);
  }

  struct Drive {
    double dt;
    double scale;    // I_0 sinh(V/V_0), A
    double heat;     // |V| R_th, K/A
    double field;    // |V| / t_ox, V/m
    double slope;    // a_0 q V / (t_ox k), K
    double barrier;  // q E_a / k, K
  };

  MT_HD static Drive MakeDrive(const Params& p, double v, double dt) {
    constexpr double kChargeOverBoltzmann = kElementaryCharge / kBoltzmann;
    const double slope = p.a_0 * kChargeOverBoltzmann * v / p.t_ox;
    return {dt,
            p.I_0 * Sinh(v / p.V_0),
            Min(Abs(v) * p.R_th, kHuge),
            Min(Abs(v) / p.t_ox, kHuge),
            Clamp(slope, -kHuge, kHuge),
            kChargeOverBoltzmann * p.E_a};
  }

  MT_HD static void Advance(const Params& p, const Drive& drive, State& s, double last_current, double normal) {
    const double t = p.T_init + drive.heat * Min(Abs(last_current), kHuge);
    const double gap_nm = s.gap * 1e9;
    const double enhancement = p.gamma_init - p.beta * (gap_nm * gap_nm * gap_nm);
    const double gamma = enhancement * drive.field < p.F_min ? 0 : enhancement;
    // exp(-a) sinh(b) as a difference: neither factor can overflow while the product is finite.
    const double activation = drive.barrier / t;
    const double pull = gamma * drive.slope / t;
    const double forward = Min(Exp(pull - activation), kHuge);
    const double backward = Min(Exp(-pull - activation), kHuge);
    double speed = -0.5 * p.vel_0 * (forward - backward);
    if (p.model_switch != 0) speed += normal * p.delta_g_init / (1 + Exp((p.T_crit - t) / p.T_smth));
    s.gap = Clamp(s.gap + speed * drive.dt, p.gap_min, p.gap_max);
  }

  MT_HD static double Current(const Params& p, const Drive& drive, const State& s) {
    return drive.scale * Exp(-s.gap / p.g_0);
  }

  MT_HD static double Conductance(const Params& p, const State& s) { return p.read_scale * Exp(-s.gap / p.g_0); }

  MT_HD static double Shape(const Params& p, double v) { return p.shape_scale * Sinh(v / p.V_0); }
  MT_HD static double ShapeSlope(const Params& p, double v) { return p.shape_scale / p.V_0 * Cosh(v / p.V_0); }

  MT_HD static State FromConductance(const Params& p, double g) {
    return {Clamp(p.g_0 * Log(p.read_scale / g), p.gap_min, p.gap_max)};
  }

  MT_HD static State Initial(const Params& p) { return {Clamp(p.gap_init, p.gap_min, p.gap_max)}; }
  MT_HD static bool UsesNoise(const Params& p) { return p.model_switch != 0; }
  MT_HD static bool Holds(const Params& p, const Drive& drive) {
    // The enhancement of the field is largest at the narrowest gap.
    const double gap_nm = p.gap_min * 1e9;
    return (p.gamma_init - p.beta * (gap_nm * gap_nm * gap_nm)) * drive.field < p.F_min;
  }

  MT_HD static Mismatch Conflict(const Params& p) {
    if (!(p.read_scale < kHuge)) {
      return {"read_voltage", p.read_voltage, "be at most some 300 times", "V_0", p.V_0, "V"};
    }
    if (!(p.r_on < p.r_off)) return {"r_on", p.r_on, "be below", "r_off", p.r_off, "ohm"};
    if (!(p.read_scale * p.r_on > 1)) {  // gap_min > 0
      return {"r_on", p.r_on, "be above", "the resistance of a closed gap at read_voltage", 1 / p.read_scale, "ohm"};
    }
    return {};
  }
};

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_DEVICES_STANFORD_PKU_H_
