// engine/cuda/random.h gives the bits of engine/random.h.

#include "engine/cuda/random.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "engine/random.h"
#include "tests/cpp/cuda/gpu.h"

namespace memtorch {
namespace {

using testing::OnGpu;

class CudaRandomTest : public testing::GpuTest {};

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Both write n draws, numbered from first, and nothing beyond them.
template <class OnCpu, class OnGpuSide>
void ExpectSame(const OnCpu& on_cpu, const OnGpuSide& on_gpu) {
  for (const int64_t first : {int64_t{0}, int64_t{1}, int64_t{6}, int64_t{4294967295}, int64_t{1} << 40}) {
    for (const int64_t n : {0, 1, 2, 31, 33, 1000}) {
      std::vector<double> expected(static_cast<size_t>(n) + 1, -7);
      const OnGpu<double> gpu(expected);
      on_cpu(first, expected.data(), n);
      on_gpu(first, gpu.data(), n);
      EXPECT_EQ(gpu.Get(), expected) << first << ' ' << n;
    }
  }
}

TEST_P(CudaRandomTest, DrawsAsTheCpuDoes) {
  ExpectSame([](int64_t first, double* out, int64_t n) { FillUniform(3, 5, first, out, n); },
             [](int64_t first, double* out, int64_t n) { cuda::FillUniform(3, 5, first, out, n, nullptr); });
  ExpectSame([](int64_t first, double* out, int64_t n) { FillNormal(3, 5, first, out, n); },
             [](int64_t first, double* out, int64_t n) { cuda::FillNormal(3, 5, first, out, n, nullptr); });
}

TEST_P(CudaRandomTest, DistributesAsTheCpuDoes) {
  using Kind = Distribution::Kind;
  for (const Distribution& distribution :
       {Distribution{Kind::kUniform, 2, 3, -kInfinity, kInfinity}, Distribution{Kind::kUniform, -1, 2, -0.5, 0.75},
        Distribution{Kind::kNormal, 1e3, 50, 0, kInfinity}, Distribution{Kind::kNormal, 0, 1, -0.5, 0.25},
        Distribution{Kind::kLogNormal, 4, 0.3, 0, 60}, Distribution{Kind::kLogNormal, 0, 500, 0, kInfinity}}) {
    ExpectSame([&](int64_t first, double* out, int64_t n) { FillDistributed(distribution, 9, 2, first, out, n); },
               [&](int64_t first, double* out, int64_t n) {
                 cuda::FillDistributed(distribution, 9, 2, first, out, n, nullptr);
               });
  }
}

MT_GPU_SUITE(CudaRandomTest);

}  // namespace
}  // namespace memtorch
