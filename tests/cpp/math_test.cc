// engine/math.h against long double functions: errors in units in the last place (ulp) per function and range.

#include "engine/math.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace memtorch {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr long double kPi = 3.14159265358979323846264338327950288L;

// |got - want| in units of the spacing of doubles at `want`.
double Ulps(double got, long double want) {
  const double rounded = static_cast<double>(want);
  if (got == rounded) return 0;
  const double size = std::fabs(rounded);
  const double spacing = std::nextafter(size, kInf) - size;
  return std::fabs(static_cast<double>((got - want) / spacing));
}

struct Case {
  const char* name;
  double (*function)(double);
  long double (*oracle)(long double);
  double low, high;
  enum Spread { kEven, kMagnitudes, kBothSigns } spread;
  double tolerance;  // ulp; measured worst case over 4e5 draws, rounded up
};

double SinPi(double x) {
  double s, c;
  SinCosPi(x, &s, &c);
  return s;
}
double CosPi(double x) {
  double s, c;
  SinCosPi(x, &s, &c);
  return c;
}
double SineOf(double x) {
  double sinh, cosh;
  SinhCosh(x, &sinh, &cosh);
  return sinh;
}
double CosineOf(double x) {
  double sinh, cosh;
  SinhCosh(x, &sinh, &cosh);
  return cosh;
}
double Cube(double x) { return Pow(x, 3); }
double Root(double x) { return Pow(x, 0.5); }
double Inverse(double x) { return Pow(x, -1); }
double Steep(double x) { return Pow(x, 30.4); }  // results from 1e-304 to 1e304

const Case kCases[] = {
    {"Exp", [](double x) { return Exp(x); }, expl, -708, 709.7, Case::kEven, 1.0},
    {"Exp near 0", [](double x) { return Exp(x); }, expl, -1, 1, Case::kEven, 1.0},
    {"Exp tiny", [](double x) { return Exp(x); }, expl, 1e-300, 1, Case::kBothSigns, 1.0},
    {"Exp subnormal", [](double x) { return Exp(x); }, expl, -745, -708, Case::kEven, 1.0},
    {"Expm1", [](double x) { return Expm1(x); }, expm1l, -40, 709, Case::kEven, 2.0},
    {"Expm1 near 0", [](double x) { return Expm1(x); }, expm1l, -2, 2, Case::kEven, 2.0},
    {"Expm1 tiny", [](double x) { return Expm1(x); }, expm1l, 1e-300, 1, Case::kBothSigns, 2.0},
    {"Expm1Positive", [](double x) { return Expm1Positive(x); }, expm1l, 0, 700, Case::kEven, 2.0},
    {"Expm1Positive small", [](double x) { return Expm1Positive(x); }, expm1l, 1e-300, 2, Case::kMagnitudes, 2.0},
    {"Log", [](double x) { return Log(x); }, logl, 1e-307, 1e308, Case::kMagnitudes, 1.0},
    {"Log near 1", [](double x) { return Log(x); }, logl, 0.3, 3, Case::kEven, 1.0},
    {"Log subnormal", [](double x) { return Log(x); }, logl, 5e-324, 1e-307, Case::kMagnitudes, 1.0},
    {"Log1p", [](double x) { return Log1p(x); }, log1pl, -1, 3, Case::kEven, 1.0},
    {"Log1p large", [](double x) { return Log1p(x); }, log1pl, 1, 1e308, Case::kMagnitudes, 1.0},
    {"Log1p tiny", [](double x) { return Log1p(x); }, log1pl, 1e-300, 0.99, Case::kBothSigns, 1.0},
    {"Log1pPositive", [](double x) { return Log1pPositive(x); }, log1pl, 1e-300, 1e308, Case::kMagnitudes, 1.0},
    {"Log1pPositive near 1", [](double x) { return Log1pPositive(x); }, log1pl, 0, 3, Case::kEven, 1.0},
    {"Cosh", [](double x) { return Cosh(x); }, coshl, 1e-300, 700, Case::kBothSigns, 3.0},
    {"Cosh near 0", [](double x) { return Cosh(x); }, coshl, -2, 2, Case::kEven, 3.0},
    {"Sinh", [](double x) { return Sinh(x); }, sinhl, -710.4, 710.4, Case::kEven, 2.0},
    {"Sinh tiny", [](double x) { return Sinh(x); }, sinhl, 1e-300, 30, Case::kBothSigns, 2.0},
    {"SinhCosh sine", SineOf, sinhl, -710.4, 710.4, Case::kEven, 2.2},
    {"SinhCosh sine tiny", SineOf, sinhl, 1e-300, 30, Case::kBothSigns, 2.2},
    {"SinhCosh cosine", CosineOf, coshl, -710.4, 710.4, Case::kEven, 2.5},
    {"SinhCosh cosine near 0", CosineOf, coshl, -2, 2, Case::kEven, 2.5},
    {"Tanh", [](double x) { return Tanh(x); }, tanhl, -3, 3, Case::kEven, 2.2},
    {"Tanh tiny", [](double x) { return Tanh(x); }, tanhl, 1e-300, 300, Case::kBothSigns, 2.2},
    {"Atanh", [](double x) { return Atanh(x); }, atanhl, -1, 1, Case::kEven, 2.0},
    {"Atanh tiny", [](double x) { return Atanh(x); }, atanhl, 1e-300, 0.99, Case::kBothSigns, 2.0},
    {"Pow 3", Cube, [](long double x) { return powl(x, 3); }, 1e-100, 1e100, Case::kMagnitudes, 1.2},
    {"Pow 0.5", Root, [](long double x) { return powl(x, 0.5L); }, 5e-324, 1e308, Case::kMagnitudes, 1.2},
    {"Pow -1", Inverse, [](long double x) { return powl(x, -1); }, 1e-300, 1e300, Case::kMagnitudes, 1.2},
    {"Pow 30.4", Steep, [](long double x) { return powl(x, static_cast<long double>(30.4)); }, 1e-10, 1e10,
     Case::kMagnitudes, 1.5},
    {"sin pi x", SinPi, [](long double x) { return sinl(kPi * x); }, -0.5, 0.5, Case::kEven, 2.0},
    {"cos pi x", CosPi, [](long double x) { return cosl(kPi * x); }, -0.49, 0.49, Case::kEven, 2.0},
    {"Sqrt", [](double x) { return Sqrt(x); }, sqrtl, 5e-324, 1e308, Case::kMagnitudes, 0.5},
    {"Floor", [](double x) { return Floor(x); }, floorl, 1e-3, 1e20, Case::kBothSigns, 0},
};

class MathTest : public ::testing::TestWithParam<Case> {};

TEST_P(MathTest, StaysWithinItsError) {
  const Case& c = GetParam();
  std::mt19937_64 random(1);
  double worst = 0;
  for (int i = 0; i < 100000; ++i) {
    double x = c.spread != Case::kEven
                   ? std::exp(std::uniform_real_distribution<double>(std::log(c.low), std::log(c.high))(random))
                   : std::uniform_real_distribution<double>(c.low, c.high)(random);
    if (c.spread == Case::kBothSigns && random() % 2 == 0) x = -x;
    const double error = Ulps(c.function(x), c.oracle(x));
    ASSERT_LE(error, c.tolerance) << c.name << " at " << x;
    worst = std::fmax(worst, error);
  }
  RecordProperty("worst_ulp", std::to_string(worst));
}

INSTANTIATE_TEST_SUITE_P(Functions, MathTest, ::testing::ValuesIn(kCases), [](const auto& test) {
  std::string name = test.param.name;
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return name;
});

TEST(MathTest, TreatsEndsOfTheRangeAsC) {
  EXPECT_EQ(Exp(710), kInf);
  EXPECT_EQ(Exp(kInf), kInf);
  EXPECT_EQ(Exp(-746), 0);
  EXPECT_EQ(Exp(-kInf), 0);
  EXPECT_EQ(Exp(0), 1);
  EXPECT_EQ(Expm1(1e9), kInf);
  EXPECT_EQ(Expm1(-1e9), -1);
  EXPECT_EQ(Expm1(0), 0);
  EXPECT_EQ(Expm1Positive(0), 0);
  EXPECT_EQ(Log1pPositive(0), 0);
  EXPECT_EQ(Log(0), -kInf);
  EXPECT_EQ(Log(1), 0);
  EXPECT_EQ(Log(kInf), kInf);
  EXPECT_EQ(Log1p(-1), -kInf);
  EXPECT_EQ(Log1p(kInf), kInf);
  EXPECT_EQ(Sinh(711), kInf);
  EXPECT_EQ(Sinh(-1e9), -kInf);
  EXPECT_EQ(SineOf(-1e9), -kInf);
  EXPECT_EQ(CosineOf(-1e9), kInf);
  EXPECT_EQ(Tanh(kInf), 1);
  EXPECT_EQ(Tanh(-40), -1);
  EXPECT_EQ(Atanh(1), kInf);
  EXPECT_EQ(Atanh(-1), -kInf);
  EXPECT_EQ(Floor(-0.5), -1);
  EXPECT_EQ(Floor(-kInf), -kInf);
  for (const double x : {Exp(kNan), Expm1(kNan), Log(kNan), Log1p(kNan), Sinh(kNan), SineOf(kNan), CosineOf(kNan),
                         Tanh(kNan), Atanh(kNan), Floor(kNan), Log(-1), Log1p(-2), Atanh(1.5), Sqrt(-1)}) {
    EXPECT_TRUE(std::isnan(x));
  }
}

TEST(MathTest, PowIsExactWhereItCanBe) {
  for (const double x : {0.0, 1e-300, 0.3, 1.0, 2.5, 1e300}) {
    EXPECT_EQ(Pow(x, 1), x);
    EXPECT_EQ(Pow(x, 0), 1);
  }
  EXPECT_EQ(Pow(0, 2.5), 0);
  EXPECT_EQ(Pow(0, -1), kInf);
  EXPECT_EQ(Pow(1, 1e9), 1);
  EXPECT_EQ(Pow(1e200, 2), kInf);
  EXPECT_EQ(Pow(1e-200, 2), 0);
  EXPECT_EQ(Pow(3, 5), 243);
}

TEST(MathTest, SinCosPiIsExactAtQuarters) {
  const double sines[] = {0, 1, 0, -1};
  for (int k = -40; k <= 40; ++k) {
    double s, c;
    SinCosPi(0.5 * k, &s, &c);
    EXPECT_EQ(s, sines[k & 3]) << k;
    EXPECT_EQ(c, sines[(k + 1) & 3]) << k;
  }
  std::mt19937_64 random(2);
  for (int i = 0; i < 10000; ++i) {  // sin^2 + cos^2 = 1: two squares of 2 ulp, halved
    const double x = std::uniform_real_distribution<double>(-1e6, 1e6)(random);
    double s, c;
    SinCosPi(x, &s, &c);
    EXPECT_NEAR(s * s + c * c, 1, 8 * std::numeric_limits<double>::epsilon()) << x;
  }
}

TEST(MathTest, ComparesAndSelects) {
  EXPECT_EQ(Abs(-2), 2);
  EXPECT_EQ(Min(1, 2), 1);
  EXPECT_EQ(Max(1, 2), 2);
  EXPECT_EQ(Clamp(-1, 0, 3), 0);
  EXPECT_EQ(Clamp(4, 0, 3), 3);
  EXPECT_EQ(Clamp(2, 0, 3), 2);
  EXPECT_EQ(WithSign(2, -0.1), -2);
  EXPECT_EQ(AsDouble(AsBits(-1.5)), -1.5);
}

}  // namespace
}  // namespace memtorch
