// The window functions against the values of their papers' formulas.

#include "engine/devices/windows.h"

#include <gtest/gtest.h>

#include <cmath>

namespace memtorch {
namespace {

// Rounding of the few operations of a window, whose values are at most 1.
constexpr double kRounding = 1e-15;

TEST(WindowsTest, HaveThePublishedValues) {
  const double p[] = {1, 2, 4};
  const double joglekar[] = {0.36, 0.5904, 0.83222784};
  const double biolek_positive[] = {0.99, 0.9999, 1 - 1e-8};
  const double biolek_negative[] = {0.19, 0.3439, 0.56953279};
  const double prodromakis[] = {0.09, 0.1719, 0.31425039};
  for (int i = 0; i < 3; ++i) {
    EXPECT_NEAR(Joglekar(0.1, p[i]), joglekar[i], kRounding);
    EXPECT_NEAR(Biolek(0.1, 1, p[i]), biolek_positive[i], kRounding);
    EXPECT_NEAR(Biolek(0.1, -1, p[i]), biolek_negative[i], kRounding);
    EXPECT_NEAR(Biolek(0.1, 0, p[i]), biolek_negative[i], kRounding);
    EXPECT_NEAR(Prodromakis(0.1, p[i], 1), prodromakis[i], 5e-9);  // the reference has eight digits
  }
}

TEST(WindowsTest, FollowTheirFormulasForAnyExponent) {
  for (const double p : {0.3, 1.0, 1.5, 2.0, 7.25, 100.0}) {
    for (double x = 0; x <= 1; x += 0.0625) {
      EXPECT_NEAR(Joglekar(x, p), 1 - std::pow(std::fabs(2 * x - 1), 2 * p), kRounding) << x << ' ' << p;
      EXPECT_NEAR(Biolek(x, 1, p), 1 - std::pow(x, 2 * p), kRounding) << x << ' ' << p;
      EXPECT_NEAR(Biolek(x, -1, p), 1 - std::pow(1 - x, 2 * p), kRounding) << x << ' ' << p;
      EXPECT_NEAR(Prodromakis(x, p, 2), 2 * (1 - std::pow((x - 0.5) * (x - 0.5) + 0.75, p)), 4 * kRounding);
    }
  }
}

TEST(WindowsTest, VanishAtTheBoundAhead) {
  for (const double p : {1.0, 2.0, 3.5}) {
    EXPECT_EQ(Joglekar(0, p), 0);
    EXPECT_EQ(Joglekar(1, p), 0);
    EXPECT_EQ(Biolek(1, 1, p), 0);
    EXPECT_EQ(Biolek(0, -1, p), 0);
    EXPECT_EQ(Prodromakis(0, p, 1), 0);
    EXPECT_EQ(Prodromakis(1, p, 1), 0);
  }
}

TEST(WindowsTest, AreSymmetricAndAtMostOne) {
  for (double x = 0; x <= 0.5; x += 0.03125) {  // dyadic: 1 - x is exact
    EXPECT_EQ(Joglekar(x, 1.5), Joglekar(1 - x, 1.5));
    EXPECT_EQ(Prodromakis(x, 1.5, 1), Prodromakis(1 - x, 1.5, 1));
    EXPECT_EQ(Biolek(x, 1, 1.5), Biolek(1 - x, -1, 1.5));
    EXPECT_LE(Joglekar(x, 1.5), 1);
  }
  EXPECT_EQ(Joglekar(0.5, 3), 1);
}

}  // namespace
}  // namespace memtorch
