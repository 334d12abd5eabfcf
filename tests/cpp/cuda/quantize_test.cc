// engine/cuda/quantize.h gives the bits of engine/quantize.h.

#include "engine/cuda/quantize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "engine/quantize.h"
#include "tests/cpp/cuda/gpu.h"
#include "tests/cpp/testing/errors.h"
#include "tests/cpp/testing/samples.h"

namespace memtorch {
namespace {

using testing::OnGpu;

class CudaQuantizeTest : public testing::GpuTest {};

// Numbers of many magnitudes, some of them 0 and some equal.
template <class T>
std::vector<T> Samples(int64_t n, uint64_t seed) {
  std::vector<T> x = testing::Normals<T>(n, seed, 1e-4);
  for (size_t i = 0; i < x.size(); ++i) {
    if (i % 7 == 3) x[i] = 0;
    if (i % 11 == 5) x[i] = x[i - 1];
    if (i % 13 == 2) x[i] *= static_cast<T>(1e-3);
  }
  return x;
}

// On the CPU a column of bounds is the host's; on the GPU it is there.
template <class T>
void ExpectSame(const QuantizeOptions& options, const Bounds& cpu, const Bounds& gpu, const std::vector<T>& x) {
  SCOPED_TRACE("method '" + options.method + "', rate " + std::to_string(options.overflow_rate));
  const int64_t n = static_cast<int64_t>(x.size());
  std::vector<T> out(x.size());
  const OnGpu<T> gpu_x(x), gpu_out(n);
  const OnGpu<double> workspace(cuda::QuantizeWorkspaceBytes<T>(n) / 8 + 1);
  Quantize(options, cpu, x.data(), out.data(), n);
  cuda::Quantize(options, gpu, gpu_x.data(), gpu_out.data(), n, workspace.data(), nullptr);
  EXPECT_EQ(gpu_out.Get(), out);
}

std::vector<std::string> MethodsAndLevels() {
  std::vector<std::string> methods = QuantMethods();
  methods.push_back("");
  return methods;
}

template <class T>
void ExpectSameForAllOptions() {
  const std::vector<int64_t> sizes =
      testing::kWatched ? std::vector<int64_t>{1, 300} : std::vector<int64_t>{1, 31, 257, 5000};
  for (const int64_t n : sizes) {
    const std::vector<T> x = Samples<T>(n, 3);
    std::vector<double> lows, highs;
    for (int64_t i = 0; i < n; ++i) {
      lows.push_back(-1e-4 - 1e-6 * static_cast<double>(i % 9));
      highs.push_back(5e-5 + 1e-6 * static_cast<double>(i % 5));
    }
    const OnGpu<double> gpu_lows(lows), gpu_highs(highs);
    const double low = -5e-5, high = 2e-4;
    for (const std::string& method : MethodsAndLevels()) {
      for (const double rate : {0.0, 0.03, 1.0}) {
        const QuantizeOptions options{method, 6, rate};
        for (const Bounds& shared :
             {Bounds{}, Bounds{&low, nullptr, 0}, Bounds{nullptr, &high, 0}, Bounds{&low, &high, 0}}) {
          ExpectSame(options, shared, shared, x);
        }
        ExpectSame(options, {lows.data(), highs.data(), 1}, {gpu_lows.data(), gpu_highs.data(), 1}, x);
        ExpectSame(options, {nullptr, highs.data(), 1}, {nullptr, gpu_highs.data(), 1}, x);
      }
    }
  }
}

TEST_P(CudaQuantizeTest, QuantizesFloatsAsTheCpuDoes) { ExpectSameForAllOptions<float>(); }
TEST_P(CudaQuantizeTest, QuantizesDoublesAsTheCpuDoes) { ExpectSameForAllOptions<double>(); }

TEST_P(CudaQuantizeTest, ZerosAndEqualElementsHaveRangesToo) {
  for (const std::string& method : MethodsAndLevels()) {
    for (const double rate : {0.0, 0.5}) {
      ExpectSame<float>({method, 4, rate}, {}, {}, std::vector<float>(40, 0.0f));
      ExpectSame<double>({method, 4, rate}, {}, {}, std::vector<double>(40, -3e-5));
    }
  }
}

TEST_P(CudaQuantizeTest, WhatIsNoNumberStaysNoneAndCountsForNoRange) {
  std::vector<float> x = Samples<float>(300, 4), finite = x;
  x[17] = std::numeric_limits<float>::quiet_NaN();
  x[250] = std::numeric_limits<float>::infinity();
  finite[17] = finite[250] = 0;  // inside the range of the others
  const OnGpu<float> gpu_x(x), gpu_out(300);
  const OnGpu<double> workspace(cuda::QuantizeWorkspaceBytes<float>(300) / 8 + 1);
  std::vector<float> out(300);
  Quantize({"linear", 8, 0}, {}, finite.data(), out.data(), 300);
  cuda::Quantize({"linear", 8, 0}, {}, gpu_x.data(), gpu_out.data(), 300, workspace.data(), nullptr);
  const std::vector<float> got = gpu_out.Get();
  for (size_t i = 0; i < got.size(); ++i) {
    if (i == 17 || i == 250) {
      EXPECT_TRUE(std::isnan(got[i])) << i;
    } else {
      EXPECT_EQ(got[i], out[i]) << i;
    }
  }
}

TEST_P(CudaQuantizeTest, NamesABadOption) {
  EXPECT_EQ(
      testing::ErrorOf([] { cuda::Quantize<float>({"linear", 40, 0}, {}, nullptr, nullptr, 0, nullptr, nullptr); }),
      "[quantize] quant (40 bits) must be in [1, 32]");
}

// Sums of all shapes with gaps between their rows, digitised on both sides.
template <class T>
void ExpectSameSums(const AdcOptions& adc, PartialSums<T> sums, const std::vector<int64_t>& ends) {
  SCOPED_TRACE(adc.method + ", rate " + std::to_string(adc.overflow_rate) + ", range " + std::to_string(adc.range) +
               ", shape " + std::to_string(sums.parts) + " " + std::to_string(sums.outer) + " " +
               std::to_string(sums.cols) + " " + std::to_string(sums.inner));
  const std::vector<T> x = Samples<T>(sums.parts * sums.part_stride, 8);
  std::vector<T> out(x.size(), T(42));
  const OnGpu<T> gpu_x(x), gpu_out(out);
  sums.data = x.data();
  DigitizeAndSum(adc, sums, ends, out.data());
  sums.data = gpu_x.data();
  cuda::DigitizeAndSum(adc, sums, ends, gpu_out.data(), nullptr);
  EXPECT_EQ(gpu_out.Get(), out);
}

template <class T>
void ExpectSameSumsForAllShapes() {
  struct Shape {
    int64_t parts, outer, cols, inner;
    std::vector<int64_t> ends;
  };
  const std::vector<Shape> shapes = {{1, 1, 1, 1, {1}},
                                     {3, 9, 70, 1, {32, 64, 70}},
                                     {2, 2, 70, 35, {32, 64, 70}},
                                     {2, 3, 300, 1, {300}},
                                     {1, 2, 130, 3, {130}},
                                     {2, 1, 40, 65, {7, 14, 40}},
                                     {4, 5, 1, 3, {1}},
                                     {2, 0, 5, 1, {5}}};
  for (const Shape& shape : shapes) {
    for (const bool by_columns : {true, false}) {
      PartialSums<T> sums;
      sums.parts = shape.parts;
      sums.outer = shape.outer;
      sums.cols = shape.cols;
      sums.inner = shape.inner;
      sums.col_stride = by_columns ? 1 : shape.inner + 1;
      sums.inner_stride = by_columns ? shape.cols + 2 : 1;
      sums.outer_stride = (by_columns ? sums.inner_stride * shape.inner : sums.col_stride * shape.cols) + 3;
      sums.part_stride = sums.outer_stride * shape.outer + 5;
      for (const std::string& method : QuantMethods()) {
        for (const double rate : {0.0, 0.05}) {
          for (const double range : {0.0, 6e-5}) {
            if (testing::kWatched && (rate == 0 || range != 0 || shape.parts != 2)) continue;
            ExpectSameSums<T>({method, 5, rate, range}, sums, shape.ends);
          }
        }
      }
    }
  }
}

TEST_P(CudaQuantizeTest, DigitisesFloatSumsAsTheCpuDoes) { ExpectSameSumsForAllShapes<float>(); }
TEST_P(CudaQuantizeTest, DigitisesDoubleSumsAsTheCpuDoes) { ExpectSameSumsForAllShapes<double>(); }

MT_GPU_SUITE(CudaQuantizeTest);

}  // namespace
}  // namespace memtorch
