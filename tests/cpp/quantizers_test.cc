#include "engine/quantizers/quantizers.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "tests/cpp/testing/samples.h"

namespace memtorch {
namespace {

constexpr double kLargest = std::numeric_limits<double>::max();

template <class... Q>
::testing::Types<Q...> AsGtestTypes(QuantizerList<Q...>);

// The range that a quantizer is fitted to for elements up to `largest` in magnitude, the smallest being `smallest`.
template <class Q>
FitRange RangeFor(double smallest, double largest) {
  if (Q::kScale == Scale::kLinear) return {-largest, largest};
  const double low = std::log(smallest), high = std::log(largest);
  const double magnitude = std::max(std::abs(low), std::abs(high));
  return Q::kExtent == Extent::kMagnitude ? FitRange{-magnitude, magnitude} : FitRange{low, high};
}

// Ascending, of both signs, with 0, from 1e-3 to 1 in magnitude.
std::vector<double> Ladder() {
  std::vector<double> x;
  for (int k = -300; k <= 300; ++k) {
    if (k != 0) x.push_back(std::copysign(std::pow(10, -3 + 3 * (std::abs(k) - 1) / 299.0), k));
    if (k == 0) x.push_back(0);
  }
  return x;
}

template <class Q>
class QuantizerTest : public ::testing::Test {};
TYPED_TEST_SUITE(QuantizerTest, decltype(AsGtestTypes(Quantizers())));

TYPED_TEST(QuantizerTest, HasAtMostTwoToTheBitsValuesBesidesZero) {
  for (int bits = 1; bits <= 8; ++bits) {
    const TypeParam q = TypeParam::Fit(RangeFor<TypeParam>(1e-3, 1), bits, kLargest);
    std::set<double> values;
    for (const double x : Ladder()) {
      if (x != 0) values.insert(q(x));
    }
    EXPECT_LE(values.size(), size_t{1} << bits) << bits << " bits";
  }
}

TYPED_TEST(QuantizerTest, IsMonotone) {
  for (int bits = 1; bits <= 32; ++bits) {
    const TypeParam q = TypeParam::Fit(RangeFor<TypeParam>(1e-3, 1), bits, kLargest);
    double last = -std::numeric_limits<double>::infinity();
    for (const double x : Ladder()) {
      const double y = q(x);
      // tanh and log lose the last bits between levels that lie nearer than rounding.
      EXPECT_GE(y, last - 1e-15) << bits << " bits at " << x;
      last = y;
    }
  }
}

TYPED_TEST(QuantizerTest, QuantizingAgainChangesNothing) {
  for (int bits = 1; bits <= 24; ++bits) {
    const TypeParam q = TypeParam::Fit(RangeFor<TypeParam>(1e-3, 1), bits, kLargest);
    for (const double x : Ladder()) {
      const double y = q(x);
      EXPECT_EQ(q(y), y) << bits << " bits at " << x;
    }
  }
}

TYPED_TEST(QuantizerTest, FloatIsTheDoubleResultRounded) {
  for (const int bits : {1, 2, 3, 8, 16, 25, 26, 32}) {
    const TypeParam q = TypeParam::Fit(RangeFor<TypeParam>(1e-3, 1), bits, std::numeric_limits<float>::max());
    for (const double x : Ladder()) {
      const float single = static_cast<float>(x);
      EXPECT_EQ(q(single), static_cast<float>(q(static_cast<double>(single)))) << bits << " bits at " << x;
    }
  }
}

TYPED_TEST(QuantizerTest, FinerStepsComeNearer) {
  for (const double x : Ladder()) {
    const TypeParam q = TypeParam::Fit(RangeFor<TypeParam>(1e-3, 1), 32, kLargest);
    // 2^-31 of the range, for log_minmax, tanh and log times ln range (16) and the slope of atanh (2.4). linear and log
    // miss their largest element by one step.
    EXPECT_NEAR(q(x), x, 32 * 0x1p-31);
  }
}

TYPED_TEST(QuantizerTest, KeepsFiniteNumbersFinite) {
  const double extremes[] = {0, 5e-324, 1e-310, 2.3e-308, 1e-300, 1, 0x1p1023, 1.7e308, kLargest};
  for (const double largest : extremes) {
    for (const double smallest : extremes) {
      if (smallest > largest || smallest == 0) continue;
      for (const int bits : {1, 2, 3, 8, 32}) {
        const TypeParam q = TypeParam::Fit(RangeFor<TypeParam>(smallest, largest), bits, kLargest);
        for (const double x : extremes) {
          EXPECT_TRUE(std::isfinite(q(x)) && std::isfinite(q(-x))) << bits << " bits, M " << largest << ", x " << x;
        }
      }
    }
  }
}

TYPED_TEST(QuantizerTest, ARangeOfZerosGivesZero) {
  const TypeParam q = TypeParam::Fit({0, 0}, 8, kLargest);
  EXPECT_EQ(q(0.0), 0);
  EXPECT_EQ(q(0.0f), 0);
}

// The formula as it is written, with the functions of <cmath>.
double SlowLinear(double x, double m, int bits) {
  const double step = std::exp2(1 - bits + std::ceil(std::log2(m)));
  const double half = std::exp2(bits - 1);
  return step * std::min(std::max(std::floor(x / step + 0.5), -half), half - 1);
}

TEST(LinearTest, FollowsItsFormula) {
  for (const double m : {0.3, 0.7, 1.0, 1.1, 3e-6, 0x1p-20, 12345.0}) {
    for (int bits = 1; bits <= 32; ++bits) {
      const LinearQuantizer q = LinearQuantizer::Fit({-m, m}, bits, kLargest);
      for (const double x : Ladder()) EXPECT_EQ(q(x * m), SlowLinear(x * m, m, bits)) << bits << " bits, " << x * m;
    }
  }
}

TEST(LinearTest, ThreeBitsByHand) {
  const LinearQuantizer q = LinearQuantizer::Fit({-1, 1}, 3, kLargest);  // step 1/4, codes -4 to 3
  const double expected[][2] = {{1, 0.75},   {0.875, 0.75},  {0.125, 0.25}, {0.12, 0},  {0, 0},
                                {-0.125, 0}, {-0.13, -0.25}, {-0.9, -1},    {-5, -1.0}, {5, 0.75}};
  for (const auto& [x, y] : expected) EXPECT_EQ(q(x), y) << x;
}

TEST(LinearTest, RoundsTheLargestFractionBelowOneHalfDown) {
  // x / step + 0.5 would round to 1.
  const LinearQuantizer q = LinearQuantizer::Fit({-4, 4}, 3, kLargest);  // step 1
  EXPECT_EQ(q(std::nextafter(0.5, 0)), 0);
  EXPECT_EQ(q(std::nextafter(0.5f, 0.0f)), 0);
}

TEST(LinearTest, ErrorIsAtMostHalfAStepInsideTheRange) {
  for (int bits = 2; bits <= 20; ++bits) {
    const LinearQuantizer q = LinearQuantizer::Fit({-1, 1}, bits, kLargest);
    for (const double x : Ladder()) {
      if (x > 1 - q.step) continue;
      EXPECT_LE(std::abs(q(x) - x), q.step / 2) << bits << " bits at " << x;
    }
  }
}

TEST(LinearTest, CeilLog2IsExact) {
  for (int k = -1074; k <= 1023; ++k) {
    const double power = std::ldexp(1.0, k);
    EXPECT_EQ(LinearQuantizer::CeilLog2(power), k);
    EXPECT_EQ(PowerOfTwo(k), power);
    if (k < -1072) continue;  // the neighbours are powers of two themselves
    EXPECT_EQ(LinearQuantizer::CeilLog2(std::nextafter(power, kLargest)), k + 1);
    EXPECT_EQ(LinearQuantizer::CeilLog2(std::nextafter(power, 0)), k);
  }
}

TEST(LevelsTest, AreThoseOfLinspace) {
  for (const auto& [low, high] : std::vector<std::pair<double, double>>{{-1, 1}, {0, 1}, {1e-5, 1e-2}, {-3, -2}}) {
    for (const int levels : {2, 3, 4, 10, 11, 255}) {
      const LevelQuantizer q = LevelQuantizer::FitLevels(low, high, levels);
      const double step = (high - low) / (levels - 1);
      for (int k = 0; k < levels; ++k) {
        const double level = k == levels - 1 ? high : low + k * step;
        EXPECT_EQ(q(level), level);
        EXPECT_EQ(q(level + 0.49 * step), level);
        EXPECT_EQ(q(level - 0.49 * step), level);
      }
      EXPECT_EQ(q(low - 100), low);
      EXPECT_EQ(q(high + 100), high);
    }
  }
}

TEST(LevelsTest, HalfWayGoesUp) {
  const LevelQuantizer q = LevelQuantizer::FitLevels(-2, 2, 5);
  EXPECT_EQ(q(0.5), 1);
  EXPECT_EQ(q(-0.5), 0);
  EXPECT_EQ(q(-1.5), -1);
}

TEST(LevelsTest, OneLevelIsTheMeanAndOneValueStays) {
  EXPECT_EQ(LevelQuantizer::FitLevels(1, 4, 1)(17.0), 2.5);
  EXPECT_EQ(LevelQuantizer::FitLevels(-kLargest, kLargest, 1)(17.0), 0);
  EXPECT_EQ(LevelQuantizer::FitLevels(0.1, 0.1, 7)(0.1), 0.1);
  EXPECT_EQ(LevelQuantizer::FitLevels(5e-324, 5e-324, 7)(5e-324), 5e-324);
}

TEST(LevelsTest, ReachTheEndsOfTheWidestRange) {
  const LevelQuantizer q = LevelQuantizer::FitLevels(-kLargest, kLargest, 3);
  EXPECT_EQ(q(-kLargest), -kLargest);
  EXPECT_EQ(q(1e300), 0);
  EXPECT_EQ(q(kLargest), kLargest);
}

TEST(LogTest, QuantizesTheLogarithm) {
  const double m = std::log(1000.0);  // |ln x| of 1e-3, the largest of the ladder
  for (int bits = 1; bits <= 16; ++bits) {
    const LogQuantizer q = LogQuantizer::Fit({-m, m}, bits, kLargest);
    for (const double x : Ladder()) {
      const double magnitude = std::exp(SlowLinear(std::log(std::abs(x)), m, bits - 1));
      // 4 ulp: exp and ln of math.h are within 2.
      EXPECT_NEAR(q(x), x == 0 ? 0 : std::copysign(magnitude, x), 4 * 2.3e-16 * magnitude) << bits << " bits at " << x;
    }
  }
}

TEST(LogMinMaxTest, KeepsTheEndsOfTheRange) {
  const LogMinMaxQuantizer q = LogMinMaxQuantizer::Fit({std::log(1e-9), std::log(1e-3)}, 4, kLargest);
  EXPECT_NEAR(q(1e-9) / 1e-9, 1, 1e-14);  // e^(ln x), ln x = -20.7 rounded: 20.7 eps / 2
  EXPECT_NEAR(q(-1e-3) / -1e-3, 1, 1e-14);
  EXPECT_NEAR(q(1.01e-6) / std::pow(10, -9 + 6 * 4 / 7.0), 1, 1e-14);  // the nearest of 8 levels
}

TEST(TanhTest, FollowsItsFormula) {
  const double m = 3e-4;
  for (int bits = 1; bits <= 16; ++bits) {
    const TanhQuantizer q = TanhQuantizer::Fit({-m, m}, bits, kLargest);
    const double last = std::exp2(bits) - 1;
    for (const double x : Ladder()) {
      const double t = std::tanh(x) / std::tanh(1);
      const double code = std::min(std::max(std::floor((t + 1) / 2 * last + 0.5), 0.0), last);
      // Rounding of t is carried through atanh, whose slope is at most 2.4, with some functions of 2 ulp.
      EXPECT_NEAR(q(x * m), m * std::atanh((2 * code / last - 1) * std::tanh(1)), 1e-15 * m * 4) << bits << " at " << x;
    }
    EXPECT_NEAR(q(10 * m), m, 1e-15 * m);
    EXPECT_LE(q(10 * m), m);
  }
}

}  // namespace
}  // namespace memtorch
