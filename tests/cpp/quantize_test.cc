#include "engine/quantize.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "engine/parallel.h"
#include "engine/quantize_kernels.h"
#include "tests/cpp/testing/errors.h"
#include "tests/cpp/testing/samples.h"

namespace memtorch {
namespace {

using testing::ErrorOf;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

template <class T>
std::vector<T> Quantized(const QuantizeOptions& options, const std::vector<T>& x, const Bounds& bounds = {}) {
  std::vector<T> y(x.size());
  Quantize(options, bounds, x.data(), y.data(), static_cast<int64_t>(x.size()));
  return y;
}

double ExceededBy(double rate, std::vector<double> magnitudes) {
  std::sort(magnitudes.begin(), magnitudes.end(), std::greater<double>());
  const double last = static_cast<double>(magnitudes.size()) - 1;
  return magnitudes[static_cast<size_t>(std::min(std::round(rate * (last + 1)), last))];
}

// Range of the whole array, then one element after the other, for a method without bounds.
std::vector<double> Slow(const QuantizeOptions& options, const std::vector<double>& x) {
  std::vector<double> magnitudes, logs, log_magnitudes;
  for (const double v : x) {
    magnitudes.push_back(std::abs(v));
    if (v == 0) continue;
    logs.push_back(Log(std::abs(v)));  // the engine's own, so that equal inputs reach the same code
    log_magnitudes.push_back(std::abs(logs.back()));
  }
  const auto ends = [](const std::vector<double>& v) {
    return FitRange{*std::min_element(v.begin(), v.end()), *std::max_element(v.begin(), v.end())};
  };
  const auto symmetric = [&](const std::vector<double>& v) {
    const double m = ExceededBy(options.overflow_rate, v);
    return FitRange{-m, m};
  };
  const double largest = std::numeric_limits<double>::max();
  const int bits = static_cast<int>(options.quant);
  std::vector<double> y;
  for (const double v : x) {
    if (options.method == "linear") y.push_back(LinearQuantizer::Fit(symmetric(magnitudes), bits, largest)(v));
    if (options.method == "tanh") y.push_back(TanhQuantizer::Fit(symmetric(magnitudes), bits, largest)(v));
    if (options.method == "log") y.push_back(LogQuantizer::Fit(symmetric(log_magnitudes), bits, largest)(v));
    if (options.method == "minmax") y.push_back(MinMaxQuantizer::Fit(ends(x), bits, largest)(v));
    if (options.method == "log_minmax") y.push_back(LogMinMaxQuantizer::Fit(ends(logs), bits, largest)(v));
    if (options.method.empty()) {
      y.push_back(LevelQuantizer::FitLevels(ends(x).low, ends(x).high, static_cast<double>(options.quant))(v));
    }
  }
  return y;
}

TEST(QuantizeTest, ListsTheFiveMethods) {
  EXPECT_EQ(QuantMethods(), (std::vector<std::string>{"linear", "log", "log_minmax", "minmax", "tanh"}));
}

TEST(QuantizeTest, EqualsTheSlowReferenceForEveryMethodAndRate) {
  for (const double scale : {1.0, 1e-6, 30.0}) {
    std::vector<double> x = testing::Normals<double>(301, 1, scale);
    x[7] = x[80] = 0;
    for (const std::string method : {"", "linear", "log", "log_minmax", "minmax", "tanh"}) {
      for (const double rate : {0.0, 0.01, 0.25, 0.999, 1.0}) {
        for (const int64_t quant : {1, 2, 5, 8, 32}) {
          const QuantizeOptions options{method, quant, rate};
          EXPECT_EQ(Quantized(options, x), Slow(options, x)) << method << ' ' << quant << ' ' << rate;
        }
      }
    }
  }
}

TEST(QuantizeTest, FloatIsTheDoubleResultRounded) {
  const std::vector<float> x = testing::Normals<float>(1000, 2, 1e-5);
  for (const std::string& method : QuantMethods()) {
    const QuantizeOptions options{method, 7, 0.01};
    const std::vector<double> y = Quantized(options, std::vector<double>(x.begin(), x.end()));
    EXPECT_EQ(Quantized(options, x), std::vector<float>(y.begin(), y.end())) << method;
  }
}

TEST(QuantizeTest, LongArraysHaveOneRangeOnAnyNumberOfThreads) {
  std::vector<double> x = testing::Normals<double>(100003, 3);
  x[99999] = 64;  // sets the range of linear: step 1 at 7 bits
  for (const std::string method : {"", "linear", "log", "log_minmax", "minmax", "tanh"}) {
    SetNumThreads(1);
    const std::vector<double> one = Quantized({method, 7, 0}, x);
    SetNumThreads(2);
    EXPECT_EQ(Quantized({method, 7, 0}, x), one) << method;
    SetNumThreads(0);
    if (method == "linear") {
      for (size_t i = 0; i < 1000; ++i) ASSERT_EQ(one[i], std::floor(x[i] + 0.5));
    }
  }
}

TEST(QuantizeTest, WorksInPlace) {
  for (const std::string method : {"", "linear", "log", "log_minmax", "minmax", "tanh"}) {
    std::vector<float> x = testing::Normals<float>(5000, 4);
    const std::vector<float> y = Quantized({method, 6, 0.1}, x);
    Quantize({method, 6, 0.1}, {}, x.data(), x.data(), 5000);
    EXPECT_EQ(x, y) << method;
  }
}

TEST(QuantizeTest, EmptyConstantAndZeroArraysWork) {
  for (const std::string method : {"", "linear", "log", "log_minmax", "minmax", "tanh"}) {
    for (const int64_t quant : {1, 8}) {
      EXPECT_TRUE(Quantized<float>({method, quant, 0.5}, {}).empty());
      EXPECT_EQ(Quantized<float>({method, quant, 0.5}, {0, 0, 0}), (std::vector<float>{0, 0, 0})) << method;
    }
  }
  for (const std::string method : {"", "minmax", "log_minmax"}) {
    for (const float y : Quantized<float>({method, 8, 0}, {0.3f, 0.3f})) EXPECT_FLOAT_EQ(y, 0.3f) << method;
  }
  EXPECT_EQ(Quantized<float>({"linear", 3, 0}, {0.3f, 0.3f}), (std::vector<float>{0.25f, 0.25f}));  // step 1/8
}

TEST(QuantizeTest, GivenBoundsAreTheRange) {
  const std::vector<double> x = {-3, -0.2, 0, 0.4, 0.6, 9};
  const double zero = 0, one = 1, minus = -1;
  EXPECT_EQ(Quantized({"", 3, 0}, x, {&zero, &one, 0}), (std::vector<double>{0, 0, 0, 0.5, 0.5, 1}));
  EXPECT_EQ(Quantized({"minmax", 1, 0}, x, {&zero, &one, 0}), (std::vector<double>{0, 0, 0, 0, 1, 1}));
  // Step 1/4 for M = 1, from the bounds and not from 9.
  EXPECT_EQ(Quantized({"linear", 3, 0}, x, {&minus, &one, 0}), (std::vector<double>{-1, -0.25, 0, 0.5, 0.5, 0.75}));
  const std::vector<double> y = Quantized({"tanh", 8, 0}, x, {&minus, &one, 0});
  EXPECT_DOUBLE_EQ(y.front(), -1);
  EXPECT_DOUBLE_EQ(y.back(), 1);
}

TEST(QuantizeTest, ABoundWiderThanTheDataWidensTheRange) {
  const double bound = 7;
  // M = 7: step 2 at 3 bits.
  EXPECT_EQ(Quantized<double>({"linear", 3, 0}, {0.3, 1.2, -2.9}, {nullptr, &bound, 0}),
            (std::vector<double>{0, 2, -2}));
  EXPECT_EQ(Quantized<double>({"linear", 3, 1}, {0.3, 1.2, -2.9}, {nullptr, &bound, 0}),
            (std::vector<double>{0, 2, -2}));
  EXPECT_EQ(Quantized<double>({"", 2, 0}, {0.3, 1.2}, {nullptr, &bound, 0}), (std::vector<double>{0.3, 0.3}));
}

TEST(QuantizeTest, AMissingBoundComesFromTheClampedElements) {
  const double bound = 2;
  EXPECT_EQ(Quantized<double>({"", 3, 0}, {0, 1.6, 5}, {nullptr, &bound, 0}), (std::vector<double>{0, 2, 2}));
  EXPECT_EQ(Quantized<double>({"", 3, 0}, {0, 1, 1.5}, {&bound, nullptr, 0}), (std::vector<double>{2, 2, 2}));
  // |ln| of the elements clamped at 2 is at most ln 2 < 1, not ln 1000: step 1/2 with 8 - 1 bits would be 1/64.
  EXPECT_NEAR(Quantized<double>({"log", 8, 0}, {1, 1.5, 1000}, {nullptr, &bound, 0}).back(),
              std::exp(std::floor(std::log(2) * 64 + 0.5) / 64), 1e-15);
}

TEST(QuantizeTest, BoundsOfLogMinMaxAreMagnitudes) {
  const double low = 1e-6, high = 1e-2;
  const std::vector<double> y = Quantized<double>({"log_minmax", 3, 0}, {1e-9, 0.9e-3, 0.5}, {&low, &high, 0});
  // Four levels, a factor 10^(4/3) apart; e^(ln x) of |ln x| = 14 is right to 14 eps / 2.
  EXPECT_NEAR(y[0] / 1e-6, 1, 1e-14);
  EXPECT_NEAR(y[1] / std::pow(10, -6 + 8 / 3.0), 1, 1e-14);
  EXPECT_NEAR(y[2] / 1e-2, 1, 1e-14);
}

TEST(QuantizeTest, EachElementCanHaveItsOwnBounds) {
  constexpr int64_t kSize = 3000;
  const std::vector<double> x = testing::Normals<double>(kSize, 5);
  std::vector<double> low = testing::Normals<double>(kSize, 6), high = low;
  for (size_t i = 0; i < kSize; ++i) high[i] += std::abs(x[(i + 1) % kSize]);
  low[5] = high[5] = 0;
  const std::vector<double> levels = Quantized({"", 10, 0}, x, {low.data(), high.data(), 1});
  const std::vector<double> bits = Quantized({"minmax", 3, 0}, x, {low.data(), high.data(), 1});
  const std::vector<double> only_low = Quantized({"", 10, 0}, x, {low.data(), nullptr, 1});
  double top = -kInfinity;
  for (size_t i = 0; i < kSize; ++i) top = std::max(top, x[i]);
  for (size_t i = 0; i < kSize; ++i) {
    EXPECT_EQ(levels[i], LevelQuantizer::FitLevels(low[i], high[i], 10)(x[i]));
    EXPECT_EQ(bits[i], LevelQuantizer::FitLevels(low[i], high[i], 8)(x[i]));
    EXPECT_EQ(only_low[i], LevelQuantizer::FitLevels(low[i], std::max(top, low[i]), 10)(x[i]));
  }
}

TEST(QuantizeTest, LinearClampsEachElementToItsOwnBounds) {
  const std::vector<double> low = {-1, -1, -2}, high = {1, 0.5, 8};
  // One range for all: M = 8, step 1 at 4 bits.
  EXPECT_EQ(Quantized<double>({"linear", 4, 0}, {3, 3, 3}, {low.data(), high.data(), 1}),
            (std::vector<double>{1, 1, 3}));
}

TEST(QuantizeTest, RefusesBadArgumentsAndLeavesTheOutput) {
  const double one = 1, two = 2, nan = kNan, infinity = kInfinity;
  const double ascending[] = {0, 3, 2}, constant[] = {2, 2, 2}, holes[] = {0, 0, kNan};
  const auto message = [](const QuantizeOptions& options, const Bounds& bounds, const std::vector<double>& x) {
    std::vector<double> out(x.size(), 42);
    const std::string text =
        ErrorOf([&] { Quantize(options, bounds, x.data(), out.data(), static_cast<int64_t>(x.size())); });
    EXPECT_EQ(out, std::vector<double>(x.size(), 42)) << text;
    return text;
  };
  const std::vector<double> x = {1, 2, 3};
  EXPECT_EQ(message({"cubic", 8, 0}, {}, x),
            "[quantize] quant_method (\"cubic\") must be one of \"linear\", \"log\", \"log_minmax\", \"minmax\", "
            "\"tanh\"");
  EXPECT_EQ(message({"linear", 0, 0}, {}, x), "[quantize] quant (0 bits) must be in [1, 32]");
  EXPECT_EQ(message({"minmax", 33, 0}, {}, x), "[quantize] quant (33 bits) must be in [1, 32]");
  EXPECT_EQ(message({"", 0, 0}, {}, x), "[quantize] quant (0 levels) must be at least 1");
  EXPECT_EQ(message({"linear", 8, -0.1}, {}, x), "[quantize] overflow_rate (-0.1) must be in [0, 1]");
  EXPECT_EQ(message({"linear", 8, kNan}, {}, x), "[quantize] overflow_rate (nan) must be in [0, 1]");
  EXPECT_EQ(message({"linear", 8, 0}, {&two, &one, 0}, x), "[quantize] min (2) must not exceed max (1)");
  EXPECT_EQ(message({"linear", 8, 0}, {&nan, &one, 0}, x), "[quantize] min (nan) must be finite");
  EXPECT_EQ(message({"linear", 8, 0}, {&one, &infinity, 0}, x), "[quantize] max (inf) must be finite");
  EXPECT_EQ(message({"", 8, 0}, {ascending, constant, 1}, x), "[quantize] min[1] (3) must not exceed max[1] (2)");
  EXPECT_EQ(message({"", 8, 0}, {nullptr, holes, 1}, x), "[quantize] max[2] (nan) must be finite");
  for (const std::string method : {"", "linear", "log", "log_minmax", "minmax", "tanh"}) {
    EXPECT_EQ(message({method, 8, 0}, {}, {1, kNan, 3}), "[quantize] x[1] (nan) must be finite");
    EXPECT_EQ(message({method, 8, 0}, {&one, &two, 0}, {1, 2, -kInfinity}), "[quantize] x[2] (-inf) must be finite");
  }
}

TEST(QuantizeTest, ABoundBeyondSinglePrecisionIsNotFiniteThere) {
  const double bound = 1e39;
  EXPECT_EQ(ErrorOf([&] { Quantized<float>({"", 2, 0}, {1}, {nullptr, &bound, 0}); }),
            "[quantize] max (1e+39) must be finite");
  EXPECT_EQ(Quantized<double>({"", 2, 0}, {1}, {nullptr, &bound, 0}), (std::vector<double>{1}));
}

TEST(QuantizeTest, FindsOneNanOfEitherSignInALongArray) {
  for (const double bad : {kNan, -kNan, kInfinity, -kInfinity}) {
    std::vector<float> x = testing::Normals<float>(40000, 8);
    x[33333] = static_cast<float>(bad);
    EXPECT_NE(ErrorOf([&] { Quantized({"linear", 8, 0}, x); }).find("x[33333]"), std::string::npos) << bad;
  }
}

template <class T>
void ExpectEqualKernels(const std::vector<const QuantizeKernels<T>*>& tables) {
  std::vector<T> x = testing::Normals<T>(1003, 9, 1e-3);
  x[17] = 0;
  const int64_t n = static_cast<int64_t>(x.size());
  std::vector<T> expected(x.size()), got(x.size());
  const QuantizeKernels<T>& first = *tables[0];
  const LinearQuantizer linear = LinearQuantizer::Fit({-3e-3, 3e-3}, 5, 1e30);
  const TanhQuantizer tanh = TanhQuantizer::Fit({-3e-3, 3e-3}, 5, 1e30);
  const LogQuantizer log = LogQuantizer::Fit({-14, 14}, 5, 1e30);
  const LogMinMaxQuantizer log_minmax = LogMinMaxQuantizer::Fit({-14, -6}, 5, 1e30);
  const MinMaxQuantizer minmax = MinMaxQuantizer::Fit({-3e-3, 3e-3}, 5, 1e30);
  const void* const quantizers[] = {&linear, &log, &log_minmax, &minmax, &tanh};
  for (const QuantizeKernels<T>* table : tables) {
    const Summary a = first.summarize(x.data(), n), b = table->summarize(x.data(), n);
    EXPECT_TRUE(a.low == b.low && a.high == b.high && a.smallest == b.smallest && a.finite == b.finite);
    EXPECT_EQ(b.low, *std::min_element(x.begin(), x.end()));
    EXPECT_EQ(b.high, *std::max_element(x.begin(), x.end()));
    for (int k = 0; k < Quantizers::kSize; ++k) {
      first.apply[k](quantizers[k], x.data(), expected.data(), n);
      table->apply[k](quantizers[k], x.data(), got.data(), n);
      EXPECT_EQ(got, expected) << QuantMethods()[static_cast<size_t>(k)];
    }
  }
}

TEST(QuantizeKernelsTest, AgreeForAllInstructionSets) {
  ExpectEqualKernels(testing::Runnable(baseline::kQuantizeFloat, avx2::kQuantizeFloat, avx512::kQuantizeFloat));
  ExpectEqualKernels(testing::Runnable(baseline::kQuantizeDouble, avx2::kQuantizeDouble, avx512::kQuantizeDouble));
}

}  // namespace
}  // namespace memtorch
