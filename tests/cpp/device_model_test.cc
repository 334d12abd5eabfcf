// Every device model: properties that all must have, and the published equations written out with <cmath>.

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
  EXPECT_EQ(TypeParam::Conflict(this->Default()).Text(), "");
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

TYPED_TEST(DeviceModelTest, CurrentIsShapeTimesConductanceInEveryState) {
  auto p = this->Default();
  // Both signs of a shape's parameters, so that no two are equal.
  double factor = 1;
  for (const auto& field : TypeParam::kParams) {
    if (field.shapes) p.*field.member *= factor += 0.07;
  }
  TypeParam::Derive(p);
  for (const double g : this->Conductances(p, 9)) {
    const auto s = TypeParam::FromConductance(p, g);
    for (const double v : {-3.0, -0.4, -1e-9, 0.0, 1e-5, 0.3, 2.5}) {
      const double current = TypeParam::Current(p, TypeParam::MakeDrive(p, v, TypeParam::kTimeStep), s);
      // Some ten roundings, multiplied by the exponents of sinh and of the gap, 12 and 6.
      EXPECT_NEAR(TypeParam::Shape(p, v) * TypeParam::Conductance(p, s), current, 1e-13 * std::fabs(current)) << v;
    }
  }
}

TYPED_TEST(DeviceModelTest, ShapeDependsOnTheParametersThatTheTableNames) {
  for (const auto& field : TypeParam::kParams) {
    auto p = this->Default();
    const double old[] = {TypeParam::Shape(p, -1.3), TypeParam::Shape(p, 0.7)};
    p.*field.member = p.*field.member * 1.1 + 1e-12;
    TypeParam::Derive(p);
    const bool same = TypeParam::Shape(p, -1.3) == old[0] && TypeParam::Shape(p, 0.7) == old[1];
    EXPECT_EQ(same, !field.shapes) << field.name;
  }
}

TYPED_TEST(DeviceModelTest, ShapeSlopeIsTheDerivative) {
  const auto p = this->Default();
  const double h = 1e-5;
  for (const double v : {-2.0, -0.3, 0.01, 1.7}) {
    const double central = (TypeParam::Shape(p, v + h) - TypeParam::Shape(p, v - h)) / (2 * h);
    // The central difference is off by (h/V_0)^2 / 6, and by the rounding of both values over h: 1e-9 together.
    EXPECT_NEAR(TypeParam::ShapeSlope(p, v) / central, 1, 1e-8) << v;
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
  EXPECT_NE(TypeParam::Conflict(p).Text().find("r_on"), std::string::npos);
  EXPECT_NE(TypeParam::Conflict(p).Text().find("must be below r_off"), std::string::npos);
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
  EXPECT_TRUE(InRange(Range::kPositive, kSmallestParam));
  EXPECT_TRUE(InRange(Range::kPositive, kLargestParam));
  EXPECT_FALSE(InRange(Range::kPositive, 1e-300));
  EXPECT_FALSE(InRange(Range::kNegative, -1e300));
  EXPECT_STREQ(RangeText(Range::kPositive, 1e-300), "of a magnitude between 1e-50 and 1e50");
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
