// Each device model by itself: known curves, limits, and what its parameters do.

#include <gtest/gtest.h>

#include <cmath>
#include <utility>

#include "engine/device_model.h"
#include "engine/devices/models.h"

namespace memtorch {
namespace {

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
  EXPECT_EQ(Vteam::Conflict(p).Text(), "r_on (2000 ohm) must be below r_off (1000 ohm)");
  p = Defaults<Vteam>();
  p.x_on = 4e-9;
  EXPECT_EQ(Vteam::Conflict(p).Text(), "x_on (4e-09 m) must be below x_off (3e-09 m)");
  p = Defaults<Vteam>();
  p.x_off = 4e-9;
  EXPECT_EQ(Vteam::Conflict(p).Text(), "x_off (4e-09 m) must be at most d (3e-09 m)");
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
  EXPECT_EQ(StanfordPku::Conflict(p).Text(),
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
  EXPECT_EQ(DataDriven::Conflict(p).Text(), "");
  p.r_p_0 = 5000;
  DataDriven::State s{9000};
  DataDriven::Advance(p, DataDriven::MakeDrive(p, 1.5, 1e6), s, 0, 0);
  EXPECT_NEAR(s.r, 5000, 1e-11);  // +V now lowers R to its boundary
  p.A_p = -p.A_p;
  EXPECT_EQ(DataDriven::Conflict(p).Text(), "A_p (743.47) must be of the sign of eta (-1)");
  p.eta = 0;
  EXPECT_EQ(DataDriven::Conflict(p).Text(), "eta (0) must not be 0");
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

}  // namespace
}  // namespace memtorch
