#include "engine/weights.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "engine/parallel.h"
#include "tests/cpp/testing/samples.h"

namespace memtorch {
namespace {

TEST(MapWeightsTest, IsTheLineRoundedOnce) {
  const WeightMap map{2.0, 1e-3, 19e-3, 1e-3, 20e-3};
  const std::vector<float> w = {-3, -2, -0.5f, 0, 1e-30f, 0.25f, 1, 2, 2.5f};
  std::vector<float> positive(w.size()), negative(w.size());
  MapWeights(map, w.data(), static_cast<int64_t>(w.size()), positive.data(), negative.data());
  for (size_t i = 0; i < w.size(); ++i) {
    const auto line = [](double x) { return static_cast<float>(std::fmin(std::fmax(1e-3 + 19e-3 * x, 1e-3), 20e-3)); };
    EXPECT_EQ(positive[i], line(w[i] / 2.0)) << i;
    EXPECT_EQ(negative[i], line(-w[i] / 2.0)) << i;
  }
}

TEST(MapWeightsTest, WeightsThatAreAllZeroAreInTheMiddle) {
  const std::vector<double> w(5, 0.0);
  std::vector<double> g(5);
  MapWeights({0, 3e-3, 2e-3, 1e-3, 5e-3}, w.data(), 5, g.data(), static_cast<double*>(nullptr));
  EXPECT_EQ(g, std::vector<double>(5, 3e-3));
}

TEST(MapWeightsTest, WeightsTooSmallToInvertReachTheEnds) {
  const std::vector<double> w = {5e-324, -5e-324};
  std::vector<double> positive(2), negative(2);
  MapWeights({5e-324, 1e-3, 19e-3, 1e-3, 20e-3}, w.data(), 2, positive.data(), negative.data());
  EXPECT_EQ(positive, (std::vector<double>{20e-3, 1e-3}));
  EXPECT_EQ(negative, (std::vector<double>{1e-3, 20e-3}));
}

TEST(SumWeightsTest, AddsProductsAndSquares) {
  for (const int64_t n : {0, 1, 255, 1000, 70001}) {
    const auto w = testing::Normals<float>(n, 1, 1), up = testing::Normals<float>(n, 2, 1e-3),
               down = testing::Normals<float>(n, 3, 1e-3);
    for (const bool pair : {true, false}) {
      long double cross = 0, square = 0, magnitude = 0;
      for (size_t i = 0; i < w.size(); ++i) {
        const double d = static_cast<double>(up[i]) - (pair ? static_cast<double>(down[i]) : 5e-4);
        cross += static_cast<long double>(w[i]) * d;
        square += static_cast<long double>(d) * d;
        magnitude += std::fabs(w[i] * d);
      }
      double sums[2] = {-1, -1};
      SumWeights<float>({w.data(), up.data(), pair ? down.data() : nullptr, 5e-4, n}, sums);
      // A product and some 150 additions, of a lane and in pairs, are rounded by 2^-53 each.
      EXPECT_NEAR(sums[0], static_cast<double>(cross), 200 * 0x1p-53 * static_cast<double>(magnitude)) << n;
      EXPECT_NEAR(sums[1], static_cast<double>(square), 200 * 0x1p-53 * static_cast<double>(square)) << n;
    }
  }
}

TEST(SumWeightsTest, DoesNotDependOnTheNumberOfThreads) {
  const auto w = testing::Normals<double>(200001, 1, 1), g = testing::Normals<double>(200001, 2, 1e-3);
  double one[2], two[2];
  SetNumThreads(1);
  SumWeights<double>({w.data(), g.data(), nullptr, 0, 200001}, one);
  SetNumThreads(2);
  SumWeights<double>({w.data(), g.data(), nullptr, 0, 200001}, two);
  SetNumThreads(0);
  EXPECT_EQ(one[0], two[0]);
  EXPECT_EQ(one[1], two[1]);
}

}  // namespace
}  // namespace memtorch
