// engine/cuda/weights.h gives the bits of engine/weights.h.

#include "engine/cuda/weights.h"

#include <gtest/gtest.h>

#include <vector>

#include "engine/weights.h"
#include "tests/cpp/cuda/gpu.h"
#include "tests/cpp/testing/samples.h"

namespace memtorch {
namespace {

using testing::OnGpu;

class CudaWeightsTest : public testing::GpuTest {};

constexpr WeightMap kPair{2.5, 1e-3, 19e-3, 1e-3, 20e-3};
constexpr WeightMap kSingle{2.5, 10.5e-3, 9.5e-3, 1e-3, 20e-3};

template <class T>
void ExpectSameMap(const WeightMap& map, bool pair, const std::vector<T>& w) {
  const int64_t n = static_cast<int64_t>(w.size());
  std::vector<T> positive(w.size()), negative(pair ? w.size() : 0);
  const OnGpu<T> gpu_w(w), gpu_positive(n), gpu_negative(static_cast<int64_t>(negative.size()));
  MapWeights(map, w.data(), n, positive.data(), pair ? negative.data() : nullptr);
  cuda::MapWeights(map, gpu_w.data(), n, gpu_positive.data(), gpu_negative.data(), nullptr);
  EXPECT_EQ(gpu_positive.Get(), positive);
  EXPECT_EQ(gpu_negative.Get(), negative);
}

template <class T>
void ExpectSameMaps() {
  for (const int64_t n : {0, 1, 31, 33, 1000}) {
    const std::vector<T> w = testing::Normals<T>(n, 4, 1);  // some beyond w_max, which saturate
    ExpectSameMap(kPair, true, w);
    ExpectSameMap(kSingle, false, w);
    ExpectSameMap({0, 1e-3, 19e-3, 1e-3, 20e-3}, n > 0, std::vector<T>(w.size(), T(0)));
  }
}

TEST_P(CudaWeightsTest, MapsFloatsAsTheCpuDoes) { ExpectSameMaps<float>(); }
TEST_P(CudaWeightsTest, MapsDoublesAsTheCpuDoes) { ExpectSameMaps<double>(); }

// Normals over and over, which are drawn faster.
template <class T>
std::vector<T> Repeated(int64_t n, uint64_t stream, double scale) {
  const std::vector<T> drawn = testing::Normals<T>(1009, stream, scale);
  std::vector<T> samples(static_cast<size_t>(n));
  for (size_t i = 0; i < samples.size(); ++i) samples[i] = drawn[i % drawn.size()];
  return samples;
}

// The ends of lanes and chunks.
const std::vector<int64_t> kEnds = {0, 1, 31, 257, 32768, 32769, 100003};

template <class T>
void ExpectSameSums(const std::vector<int64_t>& sizes) {
  for (const int64_t n : sizes) {
    const std::vector<T> w = Repeated<T>(n, 1, 1), up = Repeated<T>(n, 2, 1e-3), down = Repeated<T>(n, 3, 1e-3);
    const OnGpu<T> gpu_w(w), gpu_up(up), gpu_down(down);
    const OnGpu<double> gpu_sums(2), workspace(cuda::SumWeightsWorkspaceBytes(n) / 8);
    for (const bool pair : {true, false}) {
      std::vector<double> sums(2);
      SumWeights<T>({w.data(), up.data(), pair ? down.data() : nullptr, 2e-3, n}, sums.data());
      cuda::SumWeights<T>({gpu_w.data(), gpu_up.data(), pair ? gpu_down.data() : nullptr, 2e-3, n}, gpu_sums.data(),
                          workspace.data(), nullptr);
      EXPECT_EQ(gpu_sums.Get(), sums) << n << ' ' << pair;
    }
  }
}

TEST_P(CudaWeightsTest, AddsFloatsAsTheCpuDoes) { ExpectSameSums<float>(kEnds); }
TEST_P(CudaWeightsTest, AddsDoublesAsTheCpuDoes) { ExpectSameSums<double>(kEnds); }
TEST_P(CudaWeightsTest, AddsMoreChunksThanLanes) { ExpectSameSums<float>({9000001}); }

MT_GPU_SUITE(CudaWeightsTest);

}  // namespace
}  // namespace memtorch
