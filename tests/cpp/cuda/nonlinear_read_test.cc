// engine/cuda/nonlinear_read.h gives the bits of engine/nonlinear_read.h.

#include "engine/cuda/nonlinear_read.h"

#include <gtest/gtest.h>

#include <vector>

#include "engine/nonlinear_read.h"
#include "tests/cpp/cuda/columns.h"
#include "tests/cpp/cuda/gpu.h"
#include "tests/cpp/testing/models.h"
#include "tests/cpp/testing/samples.h"

namespace memtorch {
namespace {

using testing::Columns;
using testing::GpuColumns;
using testing::OnGpu;
using testing::SameDevices;
using testing::Variety;

class CudaNonlinearReadTest : public testing::GpuTest {};

// body(model, columns, grid, v [rows, inputs], inputs) for all models, shared and own parameters, several grids.
template <class Body>
void ForAllReads(const Body& body) {
  ForEachModel([&](auto m) {
    using M = decltype(m);
    for (const Variety variety : {Variety::kShared, Variety::kPerDevice}) {
      for (const TileGrid& grid : {TileGrid{1, 1, 1, 1}, TileGrid{5, 7, 3, 4}, TileGrid{4, 140, 3, 135}}) {
        for (const int64_t inputs : {1, 18}) {
          SCOPED_TRACE(M::kName);
          Columns<M> columns(grid.cells(), variety == Variety::kShared);
          Vary(variety, columns);
          if (variety == Variety::kPerDevice) {
            columns.stuck.assign(static_cast<size_t>(grid.cells()), 0);
            columns.stuck[static_cast<size_t>(grid.cells() / 2)] = 1;
          }
          body(m, columns, grid, testing::RandomVoltages(grid.rows * inputs, testing::WorkingVoltage<M>(), 3), inputs);
        }
      }
    }
  });
}

TEST_P(CudaNonlinearReadTest, ShapesAreThoseOfTheCpu) {
  ForEachModel([](auto m) {
    using M = decltype(m);
    Columns<M> columns(1);
    GpuColumns<M> gpu(columns);
    const std::vector<double> v = testing::RandomVoltages(300, testing::WorkingVoltage<M>(), 2);
    std::vector<double> shape(300), slope(300);
    const OnGpu<double> gpu_v(v), gpu_shape(int64_t{300}), gpu_slope(int64_t{300});
    ReadShape(M::kName, columns.View(), v.data(), 300, shape.data(), slope.data());
    cuda::ReadShape(M::kName, gpu.View(), gpu_v.data(), 300, gpu_shape.data(), gpu_slope.data(), nullptr);
    EXPECT_EQ(gpu_shape.Get(), shape) << M::kName;
    EXPECT_EQ(gpu_slope.Get(), slope) << M::kName;
  });
}

TEST_P(CudaNonlinearReadTest, CurrentsAndGradientsAreThoseOfTheCpu) {
  ForAllReads([](auto m, auto& columns, const TileGrid& grid, const std::vector<double>& v, int64_t inputs) {
    using M = decltype(m);
    GpuColumns<M> gpu(columns);
    const int64_t sums = grid.down() * inputs * grid.cols;
    std::vector<double> partial(sums), v_grad(v.size()), g_grad(grid.cells());
    const std::vector<double> weights = testing::Normals<double>(sums, 4, 1);
    const OnGpu<double> gpu_v(v), gpu_partial(sums), gpu_weights(weights), gpu_v_grad(v_grad), gpu_g_grad(g_grad);
    const NonlinearRead on_cpu{columns.View(), grid, v.data(), inputs}, on_gpu{gpu.View(), grid, gpu_v.data(), inputs};
    ReadNonlinear(M::kName, on_cpu, partial.data());
    cuda::ReadNonlinear(M::kName, on_gpu, gpu_partial.data(), nullptr);
    EXPECT_EQ(gpu_partial.Get(), partial);
    ReadNonlinearGradient(M::kName, on_cpu, weights.data(), v_grad.data(), g_grad.data());
    cuda::ReadNonlinearGradient(M::kName, on_gpu, gpu_weights.data(), gpu_v_grad.data(), gpu_g_grad.data(), nullptr);
    EXPECT_EQ(gpu_v_grad.Get(), v_grad);
    EXPECT_EQ(gpu_g_grad.Get(), g_grad);
  });
}

TEST_P(CudaNonlinearReadTest, DevicesMoveAsOnTheCpu) {
  ForAllReads([](auto m, auto& cpu, const TileGrid& grid, const std::vector<double>& v, int64_t inputs) {
    using M = decltype(m);
    GpuColumns<M> gpu(cpu);
    const int64_t sums = grid.down() * inputs * grid.cols;
    std::vector<double> partial(sums);
    const OnGpu<double> gpu_v(v), gpu_partial(sums);
    const SimulatedReadOptions options{M::kTimeStep, 11};
    ReadSimulated(M::kName, {cpu.View(), grid, v.data(), inputs}, options, partial.data());
    cuda::ReadSimulated(M::kName, {gpu.View(), grid, gpu_v.data(), inputs}, options, gpu_partial.data(), nullptr);
    EXPECT_EQ(gpu_partial.Get(), partial);
    EXPECT_TRUE(SameDevices(gpu.Get(), cpu));
  });
}

MT_GPU_SUITE(CudaNonlinearReadTest);

}  // namespace
}  // namespace memtorch
