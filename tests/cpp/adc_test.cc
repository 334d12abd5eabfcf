// The converters of tiles: DigitizeAndSum of quantize.h.

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "engine/parallel.h"
#include "engine/quantize.h"
#include "engine/quantize_kernels.h"
#include "tests/cpp/testing/errors.h"
#include "tests/cpp/testing/samples.h"

namespace memtorch {
namespace {

using testing::ErrorOf;

enum class Order { kColumnsFirst, kPositionsFirst };  // which index has stride 1

// Partial sums of a shape, with gaps between the rows, the samples and the parts.
template <class T>
struct Sums {
  std::vector<T> data;
  PartialSums<T> view;

  Sums(int64_t parts, int64_t outer, int64_t cols, int64_t inner, Order order, double scale = 1e-5) {
    const bool by_columns = order == Order::kColumnsFirst;
    view.parts = parts;
    view.outer = outer;
    view.cols = cols;
    view.inner = inner;
    view.col_stride = by_columns ? 1 : inner + 1;
    view.inner_stride = by_columns ? cols + 2 : 1;
    view.outer_stride = (by_columns ? view.inner_stride * inner : view.col_stride * cols) + 3;
    view.part_stride = view.outer_stride * outer + 5;
    data = testing::Normals<T>(view.part_stride * parts, 1, scale);
    view.data = data.data();
  }

  int64_t at(int64_t t, int64_t n, int64_t c, int64_t s) const {
    return t * view.part_stride + n * view.outer_stride + c * view.col_stride + s * view.inner_stride;
  }
};

// One converter after the other, by Quantize().
template <class T>
std::vector<T> Slow(const AdcOptions& adc, const Sums<T>& sums, const std::vector<int64_t>& ends, std::vector<T> out) {
  const PartialSums<T>& v = sums.view;
  const double low = -adc.range, high = adc.range;
  const Bounds bounds = adc.range > 0 ? Bounds{&low, &high, 0} : Bounds{};
  for (int64_t n = 0; n < v.outer; ++n) {
    for (int64_t s = 0; s < v.inner; ++s) {
      for (int64_t c = 0; c < v.cols; ++c) out[static_cast<size_t>(sums.at(0, n, c, s))] = 0;
      for (int64_t t = 0; t < v.parts; ++t) {
        int64_t begin = 0;
        for (const int64_t end : ends) {
          std::vector<T> x;
          for (int64_t c = begin; c < end; ++c) x.push_back(v.data[sums.at(t, n, c, s)]);
          Quantize({adc.method, adc.bits, adc.overflow_rate}, bounds, x.data(), x.data(), end - begin);
          for (int64_t c = begin; c < end; ++c) {
            out[static_cast<size_t>(sums.at(0, n, c, s))] += x[static_cast<size_t>(c - begin)];
          }
          begin = end;
        }
      }
    }
  }
  return out;
}

template <class T>
std::vector<T> Digitized(const AdcOptions& adc, const Sums<T>& sums, const std::vector<int64_t>& ends) {
  std::vector<T> out(sums.data.size(), T(42));
  DigitizeAndSum(adc, sums.view, ends, out.data());
  return out;
}

template <class T>
void ExpectEqualsSlow(const AdcOptions& adc, const Sums<T>& sums, const std::vector<int64_t>& ends) {
  // Gaps keep their 42.
  EXPECT_EQ(Digitized(adc, sums, ends), Slow(adc, sums, ends, std::vector<T>(sums.data.size(), T(42))))
      << adc.method << ", " << adc.bits << " bits, overflow_rate " << adc.overflow_rate << ", range " << adc.range;
}

template <class T>
class AdcTest : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(AdcTest, Types);

TYPED_TEST(AdcTest, IsOneQuantizerPerTileAndInputVector) {
  for (const Order order : {Order::kColumnsFirst, Order::kPositionsFirst}) {
    for (const int64_t inner : {1, 3, 64, 150}) {
      const Sums<TypeParam> sums(3, 5, 41, inner, order);
      for (const int bits : {1, 4, 8, 32}) {
        ExpectEqualsSlow({"linear", bits, 0, 0}, sums, {16, 32, 41});
        ExpectEqualsSlow({"linear", bits, 0, 1.3e-5}, sums, {16, 32, 41});
      }
    }
  }
}

TYPED_TEST(AdcTest, TakesATransposedMatrix) {
  Sums<TypeParam> sums(2, 100, 7, 1, Order::kColumnsFirst);
  sums.view.col_stride = 101;
  sums.view.outer_stride = 1;
  sums.view.part_stride = 7 * 101;
  sums.data = testing::Normals<TypeParam>(2 * 7 * 101, 2, 1e-5);
  sums.view.data = sums.data.data();
  ExpectEqualsSlow({"linear", 6, 0, 0}, sums, {4, 7});
}

TYPED_TEST(AdcTest, TakesEveryMethodRateAndRange) {
  for (const Order order : {Order::kColumnsFirst, Order::kPositionsFirst}) {
    const Sums<TypeParam> sums(2, 2, 20, 3, order);
    for (const std::string& method : QuantMethods()) {
      for (const double rate : {0.0, 0.1, 1.0}) {
        for (const double range : {0.0, 5e-6, 1.0}) ExpectEqualsSlow({method, 6, rate, range}, sums, {13, 20});
      }
    }
  }
}

// Where the step or its inverse leaves the normal numbers of the type.
TYPED_TEST(AdcTest, TakesTinyAndHugeCurrents) {
  using Limits = std::numeric_limits<TypeParam>;
  for (const Order order : {Order::kColumnsFirst, Order::kPositionsFirst}) {
    for (const double scale : {double{Limits::denorm_min()}, 40.0 * Limits::denorm_min(), 3.0 * Limits::min(), 1e-30,
                               1e30, Limits::max() / 64.0}) {
      const Sums<TypeParam> sums(1, 2, 20, 5, order, scale);
      for (const int bits : {1, 8, 32}) {
        for (const double range : {0.0, scale, 1e-300, Limits::max() / 2.0})
          ExpectEqualsSlow({"linear", bits, 0, range}, sums, {20});
      }
    }
  }
}

TYPED_TEST(AdcTest, ATileOfZerosGivesZerosBesideOthers) {
  for (const Order order : {Order::kColumnsFirst, Order::kPositionsFirst}) {
    Sums<TypeParam> sums(2, 1, 8, 4, order);
    for (int64_t c = 0; c < 4; ++c) sums.data[static_cast<size_t>(sums.at(0, 0, c, 2))] = 0;
    ExpectEqualsSlow({"linear", 8, 0, 0}, sums, {4, 8});
    ExpectEqualsSlow({"linear", 8, 0, 1}, sums, {4, 8});
  }
}

// A sample's result never depends on its batch mates, whatever the layout groups together.
TYPED_TEST(AdcTest, ASampleDoesNotDependOnItsBatchMates) {
  for (const Order order : {Order::kColumnsFirst, Order::kPositionsFirst}) {
    Sums<TypeParam> sums(2, 3, 8, 5, order);
    const std::vector<TypeParam> before = Digitized({"linear", 4, 0, 0}, sums, {8});
    for (int64_t t = 0; t < 2; ++t) {
      for (int64_t c = 0; c < 8; ++c) sums.data[static_cast<size_t>(sums.at(t, 1, c, 3))] *= 1000;
    }
    const std::vector<TypeParam> after = Digitized({"linear", 4, 0, 0}, sums, {8});
    for (int64_t n = 0; n < 3; ++n) {
      for (int64_t s = 0; s < 5; ++s) {
        const size_t k = static_cast<size_t>(sums.at(0, n, 7, s));
        EXPECT_EQ(before[k] == after[k], !(n == 1 && s == 3)) << n << ' ' << s;
      }
    }
  }
}

TYPED_TEST(AdcTest, DoesNotDependOnTheNumberOfThreads) {
  for (const Order order : {Order::kColumnsFirst, Order::kPositionsFirst}) {
    const Sums<TypeParam> sums(3, 40, 100, 70, order);
    SetNumThreads(1);
    const std::vector<TypeParam> one = Digitized({"linear", 8, 0, 0}, sums, {64, 100});
    SetNumThreads(2);
    EXPECT_EQ(Digitized({"linear", 8, 0, 0}, sums, {64, 100}), one);
    SetNumThreads(0);
  }
}

template <class T>
void ExpectEqualKernels(const std::vector<const QuantizeKernels<T>*>& tables) {
  const Sums<T> rows(3, 1, 77, 50, Order::kColumnsFirst), columns(3, 1, 77, 50, Order::kPositionsFirst);
  const auto strip = [](const PartialSums<T>& v) {
    return AdcStrip<T>{v.data, v.parts, v.cols, v.inner, v.part_stride, v.col_stride, v.inner_stride};
  };
  std::vector<T> expected(rows.data.size() + columns.data.size()), got(expected.size());
  for (const double limit : {0.0, 2e-5}) {
    for (const QuantizeKernels<T>* table : tables) {
      EXPECT_TRUE(tables[0]->digitize_rows({6, limit}, strip(rows.view), expected.data()));
      EXPECT_TRUE(table->digitize_rows({6, limit}, strip(rows.view), got.data()));
      EXPECT_EQ(got, expected);
      EXPECT_TRUE(tables[0]->digitize_columns({6, limit}, strip(columns.view), expected.data()));
      EXPECT_TRUE(table->digitize_columns({6, limit}, strip(columns.view), got.data()));
      EXPECT_EQ(got, expected);
    }
  }
}

TEST(AdcKernelsTest, AgreeForAllInstructionSets) {
  ExpectEqualKernels(testing::Runnable(baseline::kQuantizeFloat, avx2::kQuantizeFloat, avx512::kQuantizeFloat));
  ExpectEqualKernels(testing::Runnable(baseline::kQuantizeDouble, avx2::kQuantizeDouble, avx512::kQuantizeDouble));
}

TYPED_TEST(AdcTest, NamesThePartialSumThatIsNoNumber) {
  using Limits = std::numeric_limits<TypeParam>;
  for (const Order order : {Order::kColumnsFirst, Order::kPositionsFirst}) {
    for (const TypeParam bad : {Limits::quiet_NaN(), -Limits::quiet_NaN(), Limits::infinity(), -Limits::infinity()}) {
      for (const std::string& method : QuantMethods()) {
        Sums<TypeParam> sums(2, 3, 8, 5, order);
        sums.data[static_cast<size_t>(sums.at(1, 2, 7, 4))] = bad;
        const std::string text = ErrorOf([&] { Digitized({method, 8, 0, 0}, sums, {4, 8}); });
        EXPECT_EQ(text.find("[adc] partial[1, 2, 7, 4] ("), 0u) << text;
        EXPECT_NE(text.find(" A) must be finite"), std::string::npos) << text;
      }
    }
  }
}

TEST(AdcArgumentsTest, RefusesBadArgumentsAndLeavesTheOutput) {
  const auto message = [](const AdcOptions& adc, const std::vector<int64_t>& ends, auto change) {
    Sums<float> sums(2, 3, 8, 5, Order::kColumnsFirst);
    change(sums.view);
    std::vector<float> out(sums.data.size(), 42);
    const std::string text = ErrorOf([&] { DigitizeAndSum(adc, sums.view, ends, out.data()); });
    EXPECT_EQ(out, std::vector<float>(out.size(), 42)) << text;
    return text;
  };
  const auto none = [](PartialSums<float>&) {};
  const double infinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(message({"", 8, 0, 0}, {8}, none),
            "[adc] quant_method (\"\") must be one of \"linear\", \"log\", \"log_minmax\", \"minmax\", \"tanh\"");
  EXPECT_EQ(message({"linear", 0, 0, 0}, {8}, none), "[adc] bits (0 bits) must be in [1, 32]");
  EXPECT_EQ(message({"linear", 8, 2, 0}, {8}, none), "[adc] overflow_rate (2) must be in [0, 1]");
  EXPECT_EQ(message({"linear", 8, 0, -1}, {8}, none), "[adc] range (-1 A) must be finite and not negative");
  EXPECT_EQ(message({"linear", 8, 0, infinity}, {8}, none), "[adc] range (inf A) must be finite and not negative");
  EXPECT_EQ(message({"linear", 8, 0, 1e39}, {8}, none), "[adc] range (1e+39 A) must be finite and not negative");
  EXPECT_EQ(message({"linear", 8, 0, 0}, {4}, none), "[adc] ends (last 4) must end with the number of columns, 8");
  EXPECT_EQ(message({"linear", 8, 0, 0}, {}, none), "[adc] ends (last 0) must end with the number of columns, 8");
  EXPECT_EQ(message({"linear", 8, 0, 0}, {4, 4, 8}, none), "[adc] ends (4 after 4) must ascend from above 0");
  EXPECT_EQ(message({"linear", 8, 0, 0}, {8}, [](PartialSums<float>& v) { v.parts = 0; }),
            "[adc] partial ([0, 3, 8, 5]) must have at least one part and no negative size");
  EXPECT_EQ(message({"linear", 8, 0, 0}, {8}, [](PartialSums<float>& v) { v.col_stride = 2; }),
            "[adc] col_stride (2) or inner_stride (10) must be 1");
}

TEST(AdcArgumentsTest, NoInputVectorsGiveNothing) {
  Sums<float> sums(2, 0, 8, 5, Order::kColumnsFirst);
  EXPECT_EQ(Digitized({"linear", 8, 0, 0}, sums, {8}), std::vector<float>(sums.data.size(), 42));
}

}  // namespace
}  // namespace memtorch
