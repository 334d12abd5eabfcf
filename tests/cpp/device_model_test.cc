// Every device model: properties that all must have, the published equations written out with <cmath>, known curves.

#include "engine/device_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "engine/devices/models.h"
#include "tests/cpp/testing/models.h"

namespace memtorch {
namespace {

template <class M>
class DeviceModelTest : public ::testing::Test {
 protected:
  using Params = typename M::Params;
  using State = typename M::State;

  static Params Default() { return Defaults<M>(); }

  static double First(const State& s) {
    double first = 0;
    StoreState<M>(s, [&](size_t i, double value) { first = i == 0 ? value : first; });
    return first;
  }

  // n conductances from 1/r_off to 1/r_on, equally spaced in their logarithm.
  static std::vector<double> Conductances(const Params& p, int n) {
    std::vector<double> g;
    for (int i = 0; i < n; ++i) g.push_back(std::pow(p.r_off / p.r_on, i / (n - 1.0)) / p.r_off);
    return g;
  }

  // Applies the voltage for n samples of the default length.
  static void Apply(const Params& p, double v, int n, State& s) {
    double current = 0;
    for (int i = 0; i < n; ++i) current = Step<M>(p, M::MakeDrive(p, v, M::kTimeStep), s, current, 0);
  }
};
TYPED_TEST_SUITE(DeviceModelTest, testing::ModelTypes, testing::ModelNames);

TYPED_TEST(DeviceModelTest, TableIsConsistent) {
  std::set<std::string> names;
  for (const auto& field : TypeParam::kParams) {
    EXPECT_TRUE(names.insert(field.name).second) << field.name << " twice";
    EXPECT_TRUE(InRange(field.range, field.value)) << field.name;
    EXPECT_GT(std::string(field.doc).size(), 10u) << field.name;
  }
  for (const auto& field : TypeParam::kState) EXPECT_TRUE(names.insert(field.name).second) << field.name << " twice";
  EXPECT_EQ(TypeParam::Conflict(this->Default()), "");
  EXPECT_LE(kParamCount<TypeParam>, kMaxParams);
  EXPECT_LE(kStateCount<TypeParam>, kMaxStates);
  EXPECT_GT(TypeParam::kTimeStep, 0);
  EXPECT_EQ(std::abs(TypeParam::kPolarity), 1);
}

TYPED_TEST(DeviceModelTest, FromConductanceInvertsConductance) {
  const auto p = this->Default();
  for (const double g : this->Conductances(p, 50)) {
    // The state is an exact function of a handful of rounded operations; a logarithm of r_off / r_on multiplies by 6.
    EXPECT_NEAR(TypeParam::Conductance(p, TypeParam::FromConductance(p, g)) / g, 1, 1e-13);
  }
}

TYPED_TEST(DeviceModelTest, ResistanceIsCurrentAtAReadVoltage) {
  const auto p = this->Default();
  const double v = 1e-4;  // small: I-V curves are sinh, whose cubic term is then below 1e-6
  for (const double g : this->Conductances(p, 5)) {
    const auto s = TypeParam::FromConductance(p, g);
    const double chord = TypeParam::Current(p, TypeParam::MakeDrive(p, v, TypeParam::kTimeStep), s) / v;
    const double opposite = TypeParam::Current(p, TypeParam::MakeDrive(p, -v, TypeParam::kTimeStep), s) / -v;
    EXPECT_NEAR(chord / opposite, 1, 1e-12);
    // g is read at read_voltage (Stanford_PKU) or is a state (Data_Driven): the same scale, not the same number.
    EXPECT_GT(chord / g, 0.7);
    EXPECT_LT(chord / g, 1.01);
  }
}

TYPED_TEST(DeviceModelTest, FreshDeviceConductsBest) {
  const auto p = this->Default();
  const double g = TypeParam::Conductance(p, TypeParam::Initial(p));
  EXPECT_NEAR(g * p.r_on, 1, 1e-3);  // Stanford_PKU starts at a gap rounded to 0.2 nm
}

TYPED_TEST(DeviceModelTest, PolarityRaisesConductance) {
  const auto p = this->Default();
  const double volts = testing::WorkingVoltage<TypeParam>();
  const double middle = 2 / (p.r_off + p.r_on);
  auto up = TypeParam::FromConductance(p, middle);
  auto down = up;
  this->Apply(p, TypeParam::kPolarity * volts, 20, up);
  this->Apply(p, -TypeParam::kPolarity * volts, 20, down);
  EXPECT_GT(TypeParam::Conductance(p, up), middle * (1 + 1e-6));
  EXPECT_LT(TypeParam::Conductance(p, down), middle * (1 - 1e-6));
}

TYPED_TEST(DeviceModelTest, StateStaysWithinBoundsUnderAnyVoltage) {
  auto p = this->Default();
  const double a = this->First(TypeParam::FromConductance(p, 1 / p.r_off));
  const double b = this->First(TypeParam::FromConductance(p, 1 / p.r_on));
  const double low = std::fmin(a, b), high = std::fmax(a, b);
  for (const double amplitude : {0.01, 1.0, 5.0, 1e3, 1e30, 1e300}) {
    for (const double dt : {1e-18, TypeParam::kTimeStep, 1.0, 1e6}) {
      auto s = TypeParam::FromConductance(p, 2 / (p.r_off + p.r_on));
      double current = 0;
      for (const double v : testing::RandomVoltages(300, amplitude, 3)) {
        current = Step<TypeParam>(p, TypeParam::MakeDrive(p, v, dt), s, current, v / amplitude);
        ASSERT_GE(this->First(s), low) << v << " V, " << dt << " s";
        ASSERT_LE(this->First(s), high) << v << " V, " << dt << " s";
        ASSERT_FALSE(std::isnan(current)) << v << " V, " << dt << " s";
      }
    }
  }
}

TYPED_TEST(DeviceModelTest, RestsAtZeroVolts) {
  const auto p = this->Default();
  for (const double g : this->Conductances(p, 5)) {
    auto s = TypeParam::FromConductance(p, g);
    const double before = this->First(s);
    this->Apply(p, 0, 10, s);
    EXPECT_EQ(this->First(s), before);
  }
}

TYPED_TEST(DeviceModelTest, RejectsROnFromROffUp) {
  auto p = this->Default();
  p.r_on = p.r_off;
  EXPECT_NE(TypeParam::Conflict(p).find("r_on"), std::string::npos);
  EXPECT_NE(TypeParam::Conflict(p).find("must be below r_off"), std::string::npos);
}

// The published equations as one would write them down, one step: returns the recorded current. In extended precision:
// written so, Data_Driven takes differences of numbers that are e^20 times larger.
using Real = long double;

Real Naive(const LinearIonDrift::Params& p, Real v, Real dt, Real, Real& x) {
  const Real current = v / (p.r_on * x + p.r_off * (1 - x));
  const Real clipped = std::clamp<Real>(x, 1e-3, 1 - 1e-3);
  const Real window = 1 - std::pow(2 * clipped - 1, 2 * p.p);
  const Real rate = p.u_v * p.r_on / (p.d * p.d) * current * window;
  if (v >= p.pos_write_threshold || v <= p.neg_write_threshold) x = std::clamp<Real>(x + rate * dt, 0, 1);
  return current;
}

Real Naive(const Vteam::Params& p, Real v, Real dt, Real, Real& x) {
  Real rate = 0;
  if (v >= p.v_off) rate = p.k_off * std::pow(v / p.v_off - 1, p.alpha_off);
  if (v <= p.v_on) rate = p.k_on * std::pow(v / p.v_on - 1, p.alpha_on);
  x = std::clamp<Real>(x + rate * dt, p.x_on, p.x_off);
  return v / (p.r_off * x / p.d + p.r_on * (1 - x / p.d));
}

Real Naive(const StanfordPku::Params& p, Real v, Real dt, Real last_current, Real& gap) {
  const Real q = 1.6e-19, k = 1.3806503e-23;
  const Real read = p.I_0 * std::sinh(p.read_voltage / p.V_0) / p.read_voltage;
  const Real t = p.T_init + std::fabs(v * last_current * p.R_th);
  Real gamma = p.gamma_init - p.beta * std::pow(gap / 1e-9, 3);
  if (gamma * std::fabs(v) / p.t_ox < p.F_min) gamma = 0;
  const Real rate = -p.vel_0 * std::exp(-q * p.E_a / (k * t)) * std::sinh(gamma * p.a_0 * q * v / (p.t_ox * k * t));
  gap = std::clamp<Real>(gap + rate * dt, p.g_0 * std::log(read * p.r_on), p.g_0 * std::log(read * p.r_off));
  return p.I_0 * std::exp(-gap / p.g_0) * std::sinh(v / p.V_0);
}

Real Naive(const DataDriven::Params& p, Real v, Real dt, Real, Real& r) {
  const Real current = v > 0 ? p.a_p / r * std::sinh(p.b_p * v) : p.a_n / r * std::sinh(p.b_n * v);
  Real next = r;
  if (v > 0) {
    const Real rho = p.r_p_0 + p.r_p_1 * v;
    const Real s = p.A_p * (std::exp(p.t_p * v) - 1);
    next = std::log(std::exp(p.k_p * rho) + std::exp(-p.k_p * s * dt) * (std::exp(p.k_p * r) - std::exp(p.k_p * rho))) /
           p.k_p;
    if (next > rho) return current;
  } else if (v < 0) {
    const Real rho = p.r_n_0 + p.r_n_1 * v;
    const Real s = p.A_n * (std::exp(-p.t_n * v) - 1);
    next = -std::log(std::exp(-p.k_n * r + p.k_n * s * dt) - std::exp(-p.k_n * rho) * (std::exp(p.k_n * s * dt) - 1)) /
           p.k_n;
    if (next < rho) return current;
  }
  r = std::clamp<Real>(next, p.r_on, p.r_off);
  return current;
}

Real Naive(const DataDriven2021::Params& p, Real v, Real dt, Real, Real& r) {
  const Real current = v > 0 ? p.a_p / r * std::sinh(p.b_p * v) : p.a_n / r * std::sinh(p.b_n * v);
  if (v == 0) return current;
  const Real rho = v > 0 ? p.r_p_0 + p.r_p_1 * v : p.r_n_0 + p.r_n_1 * v;
  const Real s = v > 0 ? p.A_p * (std::exp(v / p.t_p) - 1) : p.A_n * (std::exp(-v / p.t_n) - 1);
  const Real next = (r + s * rho * (rho - r) * dt) / (1 + s * (rho - r) * dt);
  if (v > 0 ? next < rho : next > rho) return current;
  r = std::clamp<Real>(next, p.r_on, p.r_off);
  return current;
}

TYPED_TEST(DeviceModelTest, FollowsThePublishedEquations) {
  const auto p = this->Default();
  const double volts = testing::WorkingVoltage<TypeParam>();
  for (const double start : this->Conductances(p, 5)) {
    auto s = TypeParam::FromConductance(p, start);
    double current = 0;
    for (const double v : testing::RandomVoltages(400, volts, 7)) {
      // Started anew at every sample, so that one step is compared, not a sequence. A step is a few dozen operations;
      // functions of up to 70 (the exponents of Stanford_PKU) multiply their rounding: 70 * 2e-16.
      Real naive = this->First(s);
      const Real naive_current = Naive(p, v, TypeParam::kTimeStep, current, naive);
      current = Step<TypeParam>(p, TypeParam::MakeDrive(p, v, TypeParam::kTimeStep), s, current, 0);
      ASSERT_NEAR(this->First(s), static_cast<double>(naive), 2e-14 * static_cast<double>(naive)) << v;
      ASSERT_NEAR(current, static_cast<double>(naive_current), 2e-14 * std::fabs(current)) << v;
    }
  }
}

double VteamSpeed(double v) {
  const auto p = Defaults<Vteam>();
  return Vteam::MakeDrive(p, v, 1).dx;
}

TEST(VteamTest, HasThePublishedSpeeds) {
  // Four-digit references whose decimals are exact; 1e-13: v / v_on - 1 cancels up to two digits.
  for (const auto& [v, speed] : {std::pair(0.05, 7.5e-4),
                                 {0.1, 2e-3},
                                 {0.5, 1.2e-2},
                                 {1.0, 2.45e-2},
                                 {-0.25, -0.15625},
                                 {-0.3, -1.25},
                                 {-0.5, -33.75},
                                 {-1.0, -640.0}}) {
    EXPECT_NEAR(VteamSpeed(v) / speed, 1, 1e-13) << v;
  }
  EXPECT_EQ(VteamSpeed(0.0199), 0);
  EXPECT_EQ(VteamSpeed(-0.1999), 0);
  const double thickness = Defaults<Vteam>().d;
  EXPECT_NEAR(thickness / VteamSpeed(1), 122.449e-9, 5e-13);
  EXPECT_NEAR(thickness / -VteamSpeed(-0.3), 2.4e-9, 1e-21);
  EXPECT_NEAR(thickness / -VteamSpeed(-1), 4.6875e-12, 1e-24);
}

TEST(VteamTest, OffersAnExponentialResistance) {
  auto p = Defaults<Vteam>();
  p.exponential_iv = 1;
  Vteam::Derive(p);
  for (const double w : {0.0, 0.25, 0.5, 1.0}) {
    const double r = p.r_on * std::pow(p.r_off / p.r_on, w);
    EXPECT_NEAR(Vteam::Conductance(p, {w * p.d}) * r, 1, 1e-14);
    EXPECT_NEAR(Vteam::FromConductance(p, 1 / r).x, w * p.d, 1e-14 * p.d);
  }
}

TEST(VteamTest, StaysBetweenXOnAndXOff) {
  auto p = Defaults<Vteam>();
  p.x_on = 0.5e-9;
  p.x_off = 2e-9;
  Vteam::State s = Vteam::Initial(p);
  EXPECT_EQ(s.x, p.x_on);
  Vteam::Advance(p, Vteam::MakeDrive(p, 1, 1), s, 0, 0);
  EXPECT_EQ(s.x, p.x_off);
  Vteam::Advance(p, Vteam::MakeDrive(p, -1, 1), s, 0, 0);
  EXPECT_EQ(s.x, p.x_on);
  EXPECT_EQ(Vteam::FromConductance(p, 1 / p.r_off).x, p.x_off);
}

TEST(VteamTest, NamesConflictingBounds) {
  auto p = Defaults<Vteam>();
  p.r_on = 2000;
  EXPECT_EQ(Vteam::Conflict(p), "r_on (2000 ohm) must be below r_off (1000 ohm)");
  p = Defaults<Vteam>();
  p.x_on = 4e-9;
  EXPECT_EQ(Vteam::Conflict(p), "x_on (4e-09 m) must be below x_off (3e-09 m)");
  p = Defaults<Vteam>();
  p.x_off = 4e-9;
  EXPECT_EQ(Vteam::Conflict(p), "x_off (4e-09 m) must be at most d (3e-09 m)");
}

TEST(StanfordPkuTest, HasThePublishedCurrents) {
  const auto p = Defaults<StanfordPku>();
  const auto current = [&](double gap, double v) {
    return StanfordPku::Current(p, StanfordPku::MakeDrive(p, v, 1), {gap});
  };
  // References of seven digits.
  for (const auto& [v, i] :
       {std::pair(0.1, 1.845629e-04), {0.2, 3.990517e-04}, {0.5, 1.629653e-03}, {1.0, 1.226215e-02}}) {
    EXPECT_NEAR(current(0.2e-9, v) / i, 1, 4e-7);
  }
  for (const auto& [v, i] :
       {std::pair(0.1, 7.523191e-06), {0.2, 1.626623e-05}, {0.5, 6.642827e-05}, {1.0, 4.998323e-04}}) {
    EXPECT_NEAR(current(1e-9, v) / i, 1, 4e-7);
  }
  EXPECT_NEAR(p.gap_min, 0.20008274e-9, 1e-17);
  EXPECT_NEAR(p.gap_max, 1.69999994e-9, 1e-17);
}

TEST(StanfordPkuTest, ReadsItsConductanceAtReadVoltage) {
  const auto p = Defaults<StanfordPku>();
  for (const double gap : {0.3e-9, 1e-9, 1.6e-9}) {
    const StanfordPku::State s{gap};
    const double i = StanfordPku::Current(p, StanfordPku::MakeDrive(p, p.read_voltage, 1), s);
    EXPECT_NEAR(StanfordPku::Conductance(p, s) * p.read_voltage / i, 1, 1e-14);
  }
}

TEST(StanfordPkuTest, DoesNotMoveBelowItsThresholdField) {
  const auto p = Defaults<StanfordPku>();
  for (const double v : {-1.0, 1.0}) {
    StanfordPku::State s{1e-9};
    StanfordPku::Advance(p, StanfordPku::MakeDrive(p, v, 1), s, 1e-3, 0);
    EXPECT_EQ(s.gap, 1e-9);
  }
}

TEST(StanfordPkuTest, NoiseMovesTheGapOnlyWhenSwitchedOn) {
  auto p = Defaults<StanfordPku>();
  const double dt = 1e-10;
  const auto moved = [&](double normal) {
    StanfordPku::State s{1e-9};
    StanfordPku::Advance(p, StanfordPku::MakeDrive(p, 0, dt), s, 0, normal);
    return s.gap - 1e-9;
  };
  EXPECT_EQ(moved(1), 0);
  EXPECT_FALSE(StanfordPku::UsesNoise(p));
  p.model_switch = 1;
  EXPECT_TRUE(StanfordPku::UsesNoise(p));
  const double want = p.delta_g_init / (1 + std::exp((p.T_crit - p.T_init) / p.T_smth)) * dt;
  EXPECT_NEAR(moved(1), want, 1e-24);  // the gap rounds to 1e-25 m
  EXPECT_NEAR(moved(-2), -2 * want, 1e-24);
}

TEST(StanfordPkuTest, HeatsWithThePreviousCurrent) {
  const auto p = Defaults<StanfordPku>();
  StanfordPku::State cold{1e-9}, hot{1e-9};
  const auto drive = StanfordPku::MakeDrive(p, 1.2, 1e-9);
  StanfordPku::Advance(p, drive, cold, 0, 0);
  StanfordPku::Advance(p, drive, hot, 0.05, 0);  // 126 K more
  EXPECT_LT(hot.gap, cold.gap);
}

TEST(StanfordPkuTest, NamesAClosedGap) {
  auto p = Defaults<StanfordPku>();
  p.r_on = 100;
  StanfordPku::Derive(p);
  EXPECT_EQ(StanfordPku::Conflict(p),
            "r_on (100 ohm) must be above the resistance of a closed gap at read_voltage (243.456 ohm)");
}

TEST(DataDrivenTest, EndsAtItsBoundary) {
  const auto p = Defaults<DataDriven>();
  DataDriven::State s{p.r_on};
  DataDriven::Advance(p, DataDriven::MakeDrive(p, 1.5, 1e6), s, 0, 0);
  EXPECT_NEAR(s.r, p.r_p_0, 1e-11);  // an ulp of the boundary is 4e-12
  s.r = p.r_off;
  DataDriven::Advance(p, DataDriven::MakeDrive(p, -1, 1e6), s, 0, 0);
  EXPECT_NEAR(s.r, p.r_n_0 - p.r_n_1, 1e-11);
  const double beyond = s.r - 100;
  s.r = beyond;
  DataDriven::Advance(p, DataDriven::MakeDrive(p, -1, 1e6), s, 0, 0);
  EXPECT_EQ(s.r, beyond);  // it has passed the boundary: it stays
}

// A step is the exact solution, so that two halves make a whole. z is small, moderate, and beyond the range of exp.
TEST(DataDrivenTest, HalfStepsMakeAStep) {
  auto p = Defaults<DataDriven>();
  for (const double k : {5.11e-6, 5.11e-4, 5e-2, 1.0}) {
    p.k_p = p.k_n = k;
    for (const double v : {1e-3, 1.5, -1e-3, -1.5}) {
      for (const double dt : {1e-12, 1e-6, 1e-3, 1.0}) {
        DataDriven::State whole{9000}, halves{9000};
        DataDriven::Advance(p, DataDriven::MakeDrive(p, v, 2 * dt), whole, 0, 0);
        DataDriven::Advance(p, DataDriven::MakeDrive(p, v, dt), halves, 0, 0);
        DataDriven::Advance(p, DataDriven::MakeDrive(p, v, dt), halves, 0, 0);
        EXPECT_NEAR(halves.r, whole.r, 1e-10) << k << ' ' << v << ' ' << dt;  // rounding of R, 2e-12, and of z / k
      }
    }
  }
}

TEST(DataDrivenTest, MovesAsTheDifferentialEquationSays) {
  const auto p = Defaults<DataDriven>();
  const double r = 9000;
  for (const double v : {0.8, -1.5}) {
    const double rate = v > 0 ? p.A_p * std::expm1(p.t_p * v) * std::expm1(p.k_p * (p.r_p_0 - r))
                              : p.A_n * std::expm1(-p.t_n * v) * std::expm1(p.k_n * (r - p.r_n_0 - p.r_n_1 * v));
    auto drive = DataDriven::MakeDrive(p, v, 1e-6 / std::fabs(rate));
    drive.inverse *= 1e6;  // magnifies the movement of 1e-6 ohm, which drowns in the rounding of R
    DataDriven::State s{r};
    DataDriven::Advance(p, drive, s, 0, 0);
    EXPECT_NEAR(s.r - r, std::copysign(1, rate), 1e-8) << v;  // second order: k * 1e-6 ohm; rounding of R: 2e-12
  }
}

TEST(DataDrivenTest, MirrorsWithEta) {
  auto p = Defaults<DataDriven>();
  p.eta = -1;
  p.A_p = -p.A_p;
  p.A_n = -p.A_n;
  EXPECT_EQ(DataDriven::Conflict(p), "");
  p.r_p_0 = 5000;
  DataDriven::State s{9000};
  DataDriven::Advance(p, DataDriven::MakeDrive(p, 1.5, 1e6), s, 0, 0);
  EXPECT_NEAR(s.r, 5000, 1e-11);  // +V now lowers R to its boundary
  p.A_p = -p.A_p;
  EXPECT_EQ(DataDriven::Conflict(p), "A_p (743.47) must be of the sign of eta (-1)");
  p.eta = 0;
  EXPECT_EQ(DataDriven::Conflict(p), "eta (0) must not be 0");
}

TEST(DataDriven2021Test, NeverPassesItsBoundary) {
  const auto p = Defaults<DataDriven2021>();
  const double rho = p.r_p_0 + p.r_p_1;
  for (const double dt : {1e-10, 1e-6, 1.0, 1e6, 1e300}) {
    DataDriven2021::State s{p.r_off};
    DataDriven2021::Advance(p, DataDriven2021::MakeDrive(p, 1, dt), s, 0, 0);
    EXPECT_LE(s.r, p.r_off);
    EXPECT_GE(s.r, rho);
  }
  DataDriven2021::State s{rho - 100};
  DataDriven2021::Advance(p, DataDriven2021::MakeDrive(p, 1, 1e-6), s, 0, 0);
  EXPECT_EQ(s.r, rho - 100);  // beyond it: stays
}

TEST(DataDriven2021Test, HalfStepsMakeAStep) {
  const auto p = Defaults<DataDriven2021>();
  for (const double v : {0.5, -0.9}) {
    for (const double dt : {1e-12, 1e-8, 1e-4, 1.0}) {
      DataDriven2021::State whole{2400}, halves{2400};
      if (v < 0) whole.r = halves.r = 1700;
      DataDriven2021::Advance(p, DataDriven2021::MakeDrive(p, v, 2 * dt), whole, 0, 0);
      DataDriven2021::Advance(p, DataDriven2021::MakeDrive(p, v, dt), halves, 0, 0);
      DataDriven2021::Advance(p, DataDriven2021::MakeDrive(p, v, dt), halves, 0, 0);
      EXPECT_NEAR(halves.r, whole.r, 2e-12) << v << ' ' << dt;  // a few ulp of R
    }
  }
}

TEST(LinearIonDriftTest, IsAtXOneInTheLowResistanceState) {
  const auto p = Defaults<LinearIonDrift>();
  EXPECT_EQ(1 / LinearIonDrift::Conductance(p, {1}), p.r_on);
  EXPECT_EQ(1 / LinearIonDrift::Conductance(p, {0}), p.r_off);
  EXPECT_EQ(LinearIonDrift::FromConductance(p, 1 / p.r_on).x, 1);
  EXPECT_NEAR(LinearIonDrift::FromConductance(p, 1 / p.r_off).x, 0, 1e-15);
  EXPECT_EQ(LinearIonDrift::Initial(p).x, 1);
}

// Joglekar's window is 0 at the bounds; a device that starts on one must still leave it.
TEST(LinearIonDriftTest, LeavesItsBounds) {
  const auto p = Defaults<LinearIonDrift>();
  double lowest = 1;
  LinearIonDrift::State s = LinearIonDrift::Initial(p);
  for (int i = 0; i <= 40000; ++i) {
    const double v = 5 * std::sin(2 * 3.14159265358979323846 * 2.5 * i * 1e-4);
    Step<LinearIonDrift>(p, LinearIonDrift::MakeDrive(p, v, 1e-4), s, 0, 0);
    lowest = std::fmin(lowest, s.x);
  }
  EXPECT_NEAR(lowest, 0.21, 0.01);  // the reference has two digits
  double highest = 0;
  s.x = 0;
  for (int i = 0; i <= 40000; ++i) {
    const double v = 5 * std::sin(2 * 3.14159265358979323846 * 2.5 * i * 1e-4);
    Step<LinearIonDrift>(p, LinearIonDrift::MakeDrive(p, v, 1e-4), s, 0, 0);
    highest = std::fmax(highest, s.x);
  }
  EXPECT_GT(highest, 0);
  EXPECT_LT(highest, 0.002);
}

TEST(ModelsTest, AreFoundByName) {
  std::vector<std::string> names;
  ForEachModel([&](auto m) { names.push_back(decltype(m)::kName); });
  EXPECT_EQ(names,
            (std::vector<std::string>{"LinearIonDrift", "VTEAM", "Stanford_PKU", "Data_Driven", "Data_Driven2021"}));
  for (size_t i = 0; i < names.size(); ++i) {
    EXPECT_EQ(ModelIndex("op", names[i]), static_cast<int>(i));
    std::string found;
    WithModel(names[i], [&](auto m) { found = decltype(m)::kName; });
    EXPECT_EQ(found, names[i]);
  }
  EXPECT_THROW(ModelIndex("op", "Vteam"), std::invalid_argument);
}

TEST(RangeTest, AllowsWhatItsTextSays) {
  const double inf = std::numeric_limits<double>::infinity();
  for (const Range range : {Range::kAny, Range::kPositive, Range::kNonNegative, Range::kNegative, Range::kFlag}) {
    EXPECT_FALSE(InRange(range, inf));
    EXPECT_FALSE(InRange(range, -inf));
    EXPECT_FALSE(InRange(range, std::nan("")));
  }
  EXPECT_TRUE(InRange(Range::kAny, -3));
  EXPECT_TRUE(InRange(Range::kPositive, 1e-300));
  EXPECT_FALSE(InRange(Range::kPositive, 0));
  EXPECT_TRUE(InRange(Range::kNonNegative, 0));
  EXPECT_FALSE(InRange(Range::kNonNegative, -1e-300));
  EXPECT_TRUE(InRange(Range::kNegative, -1));
  EXPECT_FALSE(InRange(Range::kNegative, 0));
  EXPECT_TRUE(InRange(Range::kFlag, 1));
  EXPECT_FALSE(InRange(Range::kFlag, 0.5));
}

}  // namespace
}  // namespace memtorch
