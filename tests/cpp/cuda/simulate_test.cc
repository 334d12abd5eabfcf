// engine/cuda/simulate.h gives the bits of engine/simulate.h.

#include "engine/cuda/simulate.h"

#include <gtest/gtest.h>

#include <vector>

#include "engine/simulate.h"
#include "tests/cpp/cuda/columns.h"
#include "tests/cpp/cuda/gpu.h"
#include "tests/cpp/testing/errors.h"
#include "tests/cpp/testing/models.h"
#include "tests/cpp/testing/samples.h"

namespace memtorch {
namespace {

using testing::Columns;
using testing::GpuColumns;
using testing::OnGpu;
using testing::RandomVoltages;
using testing::SameBits;
using testing::SameDevices;
using testing::Variety;

class CudaSimulateTest : public testing::GpuTest {
 protected:
  // body(columns) for columns of every model, variety, float32 and float64 conductances, with stuck devices or without.
  template <class Body>
  void ForAllColumns(const Body& body) {
    ForEachModel([&](auto m) {
      using M = decltype(m);
      for (const Variety variety : {Variety::kShared, Variety::kOtherFormulas, Variety::kPerDevice}) {
        for (const int64_t n : {1, 131}) {
          SCOPED_TRACE(M::kName);
          Columns<M> columns(n, n != 1);
          Vary(variety, columns);
          if (variety == Variety::kPerDevice) {
            columns.stuck.assign(static_cast<size_t>(n), 0);
            columns.stuck[static_cast<size_t>(n / 2)] = 1;
          }
          body(m, columns);
        }
      }
    });
  }
};

TEST_P(CudaSimulateTest, MovesDevicesAsTheCpuDoes) {
  ForAllColumns([](auto m, auto& cpu) {
    using M = decltype(m);
    for (const double rel_tol : {0.0, 1e-2}) {
      for (const bool own_waveforms : {false, true}) {
        const int64_t steps = 9, stride = own_waveforms ? steps + 3 : 0;
        const auto v = RandomVoltages(own_waveforms ? cpu.n * stride : steps, testing::WorkingVoltage<M>(), 5);
        const SimulateOptions options{42, 1000, rel_tol};
        GpuColumns<M> gpu(cpu);
        const OnGpu<double> gpu_v(v), gpu_current(cpu.n * steps);
        std::vector<double> current(static_cast<size_t>(cpu.n * steps));
        Simulate(M::kName, cpu.View(), {v.data(), steps, stride, M::kTimeStep}, options, current.data());
        cuda::Simulate(M::kName, gpu.View(), {gpu_v.data(), steps, stride, M::kTimeStep}, options, gpu_current.data(),
                       nullptr);
        EXPECT_TRUE(SameBits(gpu_current.Get(), current));
        EXPECT_TRUE(SameDevices(gpu.Get(), cpu));
      }
    }
  });
}

TEST_P(CudaSimulateTest, WritesConductancesAsTheCpuDoes) {
  ForAllColumns([](auto m, auto& cpu) {
    using M = decltype(m);
    const auto p = cpu.ParamsOf(0);
    std::vector<double> target;
    for (int64_t i = 0; i < cpu.n; ++i) target.push_back(1 / p.r_off + (1 / p.r_on - 1 / p.r_off) * i / 100.0);
    const std::vector<float> single(target.begin(), target.end());
    GpuColumns<M> gpu(cpu);
    const OnGpu<double> gpu_target(target);
    const OnGpu<float> gpu_single(single);
    const bool is_single = !cpu.g32.empty();
    ConductanceColumn cpu_column, gpu_column;
    if (is_single) {
      cpu_column.f32 = const_cast<float*>(single.data());
      gpu_column.f32 = gpu_single.data();
    } else {
      cpu_column.f64 = target.data();
      gpu_column.f64 = gpu_target.data();
    }
    SetConductance(M::kName, cpu.View(), cpu_column);
    cuda::SetConductance(M::kName, gpu.View(), gpu_column, nullptr);
    EXPECT_TRUE(SameDevices(gpu.Get(), cpu));
    UpdateConductance(M::kName, cpu.View());
    cuda::UpdateConductance(M::kName, gpu.View(), nullptr);
    EXPECT_TRUE(SameDevices(gpu.Get(), cpu));
    Reset(M::kName, cpu.View());
    cuda::Reset(M::kName, gpu.View(), nullptr);
    EXPECT_TRUE(SameDevices(gpu.Get(), cpu));
  });
}

TEST_P(CudaSimulateTest, NamesABadSharedParameter) {
  Columns<Vteam> columns(3);
  columns.Share("r_on", -1);
  GpuColumns<Vteam> gpu(columns);
  EXPECT_EQ(testing::ErrorOf([&] { cuda::Reset("VTEAM", gpu.View(), nullptr); }),
            "[reset] r_on (-1 ohm) must be finite and above 0");
}

MT_GPU_SUITE(CudaSimulateTest);

}  // namespace
}  // namespace memtorch
