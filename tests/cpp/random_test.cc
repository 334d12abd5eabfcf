#include "engine/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "engine/parallel.h"
#include "engine/random_kernels.h"
#include "engine/simd.h"
#include "tests/cpp/testing/samples.h"

namespace memtorch {
namespace {

constexpr int64_t kDraws = 1000000;

using Words = std::array<uint32_t, 4>;

Words Block(const Words& counter, uint32_t key0, uint32_t key1) {
  const auto join = [](uint32_t low, uint32_t high) { return (uint64_t{high} << 32) | low; };
  const Philox block = Philox::Block(join(key0, key1), join(counter[2], counter[3]), join(counter[0], counter[1]));
  return {block.x[0], block.x[1], block.x[2], block.x[3]};
}

// The known answers that come with Random123, the authors' library.
TEST(PhiloxTest, GivesThePublishedAnswers) {
  EXPECT_EQ(Block({0, 0, 0, 0}, 0, 0), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Block({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, 0xffffffff, 0xffffffff),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Block({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0xa4093822, 0x299f31d0),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(UniformTest, NeverReachesItsEndsAndIsSymmetric) {
  EXPECT_EQ(Uniform(0, 0), 0x1p-53);
  EXPECT_EQ(Uniform(0xffffffff, 0xffffffff), 1 - 0x1p-53);
  for (uint32_t k = 0; k < 1000; ++k) {
    const uint32_t high = k * 2654435761u, low = k * 2246822519u;
    EXPECT_EQ(Uniform(high, low) + Uniform(~high, ~low), 1);
  }
}

TEST(NormalTest, IsBoxAndMullerOfTheUniformsOfItsBlock) {
  for (uint64_t block = 0; block < 1000; ++block) {
    double u, v;
    UniformPair(7, 11, block, &u, &v);
    const double radius = std::sqrt(-2 * std::log(u));
    // A few ulp of radius: the functions of math.h are within 2 ulp, and pi v is rounded before std::cos takes it.
    const double tolerance = 1e-14 * radius;
    EXPECT_NEAR(Normal(7, 11, 2 * block), radius * std::cos(2 * M_PI * v), tolerance);
    EXPECT_NEAR(Normal(7, 11, 2 * block + 1), radius * std::sin(2 * M_PI * v), tolerance);
  }
}

TEST(FillTest, AgreesWithSingleDrawsFromAnyStart) {
  for (const int64_t first : {int64_t{0}, int64_t{1}, int64_t{6}, int64_t{4294967295}, int64_t{1} << 40}) {
    for (const int64_t n : {0, 1, 2, 7, 64, 20011}) {
      std::vector<double> normals(static_cast<size_t>(n) + 1, -1), uniforms(static_cast<size_t>(n) + 1, -1);
      FillNormal(3, 5, first, normals.data(), n);
      FillUniform(3, 5, first, uniforms.data(), n);
      for (int64_t i = 0; i < n; ++i) {
        const uint64_t index = static_cast<uint64_t>(first + i);
        double even, odd;
        UniformPair(3, 5, index / 2, &even, &odd);
        ASSERT_EQ(normals[static_cast<size_t>(i)], Normal(3, 5, index)) << first << " + " << i;
        ASSERT_EQ(uniforms[static_cast<size_t>(i)], index % 2 == 0 ? even : odd) << first << " + " << i;
      }
      EXPECT_EQ(normals.back(), -1) << "wrote beyond its end";
      EXPECT_EQ(uniforms.back(), -1) << "wrote beyond its end";
    }
  }
}

TEST(FillTest, DoesNotDependOnTheNumberOfThreads) {
  std::vector<double> one(100001), two(100001);
  SetNumThreads(1);
  FillNormal(1, 2, 3, one.data(), 100001);
  SetNumThreads(2);
  FillNormal(1, 2, 3, two.data(), 100001);
  SetNumThreads(0);
  EXPECT_EQ(one, two);
}

TEST(FillTest, DoesNotDependOnTheInstructionSet) {
  std::vector<double> expected(2 * 1021), got(expected.size());
  for (const auto run : {&RandomKernels::uniform, &RandomKernels::normal}) {
    (baseline::kRandom.*run)(1, 2, 3, expected.data(), 1021);
    for (const RandomKernels* kernels : testing::Runnable(baseline::kRandom, avx2::kRandom, avx512::kRandom)) {
      (kernels->*run)(1, 2, 3, got.data(), 1021);
      EXPECT_EQ(got, expected);
    }
  }
  const std::vector<double> normals = expected;
  for (const auto kind : {Distribution::Kind::kNormal, Distribution::Kind::kLogNormal}) {
    const Distribution distribution{kind, 0.5, 2, 0.1, 9};
    for (double& x : expected = normals) x = distribution.Of(x);
    for (const RandomKernels* kernels : testing::Runnable(baseline::kRandom, avx2::kRandom, avx512::kRandom)) {
      got = normals;
      kernels->distribute(distribution, got.data(), static_cast<int64_t>(got.size()));
      EXPECT_EQ(got, expected);
    }
  }
}

TEST(FillTest, DistributesTheDraws) {
  const double infinity = std::numeric_limits<double>::infinity();
  const int64_t n = 4001;
  std::vector<double> uniforms(n), normals(n), got(n);
  FillUniform(1, 2, 3, uniforms.data(), n);
  FillNormal(1, 2, 3, normals.data(), n);
  const auto limited = [](double x, double low, double high) { return std::min(std::max(x, low), high); };
  FillDistributed({Distribution::Kind::kUniform, 2, 5, 2.5, 6}, 1, 2, 3, got.data(), n);
  for (size_t i = 0; i < got.size(); ++i) ASSERT_EQ(got[i], limited(2 + 5 * uniforms[i], 2.5, 6));
  FillDistributed({Distribution::Kind::kNormal, 100, 10, 0, 110}, 1, 2, 3, got.data(), n);
  for (size_t i = 0; i < got.size(); ++i) ASSERT_EQ(got[i], limited(100 + 10 * normals[i], 0, 110));
  FillDistributed({Distribution::Kind::kLogNormal, 1, 0.5, 0, infinity}, 1, 2, 3, got.data(), n);
  for (size_t i = 0; i < got.size(); ++i) {
    const double expected = std::exp(1 + 0.5 * normals[i]);
    ASSERT_NEAR(got[i], expected, 1e-15 * expected);  // 2 ulp of Exp and half of std::exp
  }
}

TEST(FillTest, SeedsAndStreamsGiveOtherDraws) {
  std::vector<double> base(1000), other(1000);
  FillUniform(1, 1, 0, base.data(), 1000);
  for (const auto& [seed, stream] :
       std::vector<std::pair<uint64_t, uint64_t>>{{2, 1}, {1, 2}, {1 + (uint64_t{1} << 32), 1}}) {
    FillUniform(seed, stream, 0, other.data(), 1000);
    int equal = 0;
    for (size_t i = 0; i < 1000; ++i) equal += base[i] == other[i];
    EXPECT_EQ(equal, 0);  // chance: 1000 / 2^52
  }
}

// Mean, variance, skewness and kurtosis within five standard deviations of their own scatter over n draws. The seeds
// are fixed, so that this cannot fail by chance.
TEST(NormalTest, HasTheMomentsOfAStandardNormal) {
  for (uint64_t stream = 0; stream < 4; ++stream) {
    std::vector<double> x(kDraws);
    FillNormal(2024, stream, 0, x.data(), kDraws);
    double sum[5] = {};
    for (const double v : x) {
      for (int k = 1; k <= 4; ++k) sum[k] += std::pow(v, k) / kDraws;
    }
    const double root = std::sqrt(static_cast<double>(kDraws));
    EXPECT_NEAR(sum[1], 0, 5 / root);
    EXPECT_NEAR(sum[2], 1, 5 * std::sqrt(2.0) / root);
    EXPECT_NEAR(sum[3], 0, 5 * std::sqrt(15.0) / root);
    EXPECT_NEAR(sum[4], 3, 5 * std::sqrt(96.0) / root);
  }
}

TEST(NormalTest, NeighboursAreUncorrelated) {
  std::vector<double> x(kDraws + 2);
  FillNormal(2024, 9, 0, x.data(), kDraws + 2);
  for (const size_t lag : {1u, 2u}) {
    double product = 0, product_of_squares = 0;
    for (size_t i = 0; i < kDraws; ++i) {
      product += x[i] * x[i + lag] / kDraws;
      product_of_squares += (x[i] * x[i] - 1) * (x[i + lag] * x[i + lag] - 1) / kDraws;
    }
    // Five standard deviations: the products have variance 1 and 4.
    EXPECT_NEAR(product, 0, 5 / std::sqrt(static_cast<double>(kDraws)));
    EXPECT_NEAR(product_of_squares, 0, 10 / std::sqrt(static_cast<double>(kDraws)));
  }
}

// Kolmogorov and Smirnov: sqrt(n) D exceeds 1.95 once in a thousand samples of the right distribution.
template <class Distribution>
double KolmogorovSmirnov(std::vector<double> x, const Distribution& cumulative) {
  std::sort(x.begin(), x.end());
  const double n = static_cast<double>(x.size());
  double worst = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double p = cumulative(x[i]);
    worst = std::max({worst, p - static_cast<double>(i) / n, static_cast<double>(i + 1) / n - p});
  }
  return std::sqrt(n) * worst;
}

TEST(FillTest, HasTheRightDistributions) {
  std::vector<double> x(kDraws);
  FillUniform(5, 6, 0, x.data(), kDraws);
  EXPECT_LT(KolmogorovSmirnov(x, [](double v) { return v; }), 1.95);
  FillNormal(5, 7, 0, x.data(), kDraws);
  EXPECT_LT(KolmogorovSmirnov(x, [](double v) { return 0.5 * std::erfc(-v / std::sqrt(2.0)); }), 1.95);
}

}  // namespace
}  // namespace memtorch
