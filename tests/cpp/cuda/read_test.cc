// engine/cuda/{tile,read}.h give the bits of engine/{tile,read}.h.

#include "engine/cuda/read.h"

#include <gtest/gtest.h>

#include <vector>

#include "engine/cuda/tile.h"
#include "engine/read.h"
#include "tests/cpp/cuda/gpu.h"
#include "tests/cpp/testing/samples.h"

namespace memtorch {
namespace {

using testing::OnGpu;

class CudaReadTest : public testing::GpuTest {};

const TileGrid kGrids[] = {{1, 1, 1, 1}, {5, 7, 3, 4}, {130, 140, 128, 128}, {70, 300, 33, 150}};

TEST_P(CudaReadTest, CutsMatricesAndJoinsTiles) {
  for (const TileGrid& grid : kGrids) {
    for (const Layout layout : {Layout::kPlain, Layout::kTransposed}) {
      const int64_t rows = layout == Layout::kPlain ? grid.rows : grid.cols;
      const int64_t cols = layout == Layout::kPlain ? grid.cols : grid.rows;
      const std::vector<double> matrix = testing::Normals<double>(rows * (cols + 2), 1, 1);
      const OnGpu<double> gpu_matrix(matrix), gpu_tiles(grid.cells()), gpu_back(matrix);
      std::vector<double> tiles(static_cast<size_t>(grid.cells()));
      ScatterTiles<double>(grid, {matrix.data(), rows, cols, cols + 2}, -3, tiles.data(), layout);
      cuda::ScatterTiles<double>(grid, {gpu_matrix.data(), rows, cols, cols + 2}, -3, gpu_tiles.data(), layout,
                                 nullptr);
      EXPECT_EQ(gpu_tiles.Get(), tiles);
      cuda::GatherTiles<double>(grid, gpu_tiles.data(), {gpu_back.data(), rows, cols, cols + 2}, layout, nullptr);
      EXPECT_EQ(gpu_back.Get(), matrix);
    }
  }
}

template <class T>
void ExpectSameReads() {
  for (const TileGrid& grid : kGrids) {
    for (const int64_t inputs : {1, 9}) {
      const std::vector<double> draws = testing::Normals<double>(2 * grid.cells(), 5, 1e-5);
      std::vector<float> pos, neg;
      for (int64_t k = 0; k < grid.cells(); ++k) {
        pos.push_back(static_cast<float>(draws[static_cast<size_t>(2 * k)] * draws[static_cast<size_t>(2 * k)] * 1e5));
        neg.push_back(pos.back() / 2);
      }
      const std::vector<T> v = testing::Normals<T>(inputs * grid.rows, 2, 1);
      const OnGpu<float> gpu_pos(pos), gpu_neg(neg);
      const OnGpu<T> gpu_v(v);
      const AdcOptions linear{"linear", 8, 0, 0}, tanh{"tanh", 5, 0.1, 0};
      for (const AdcOptions* adc : {static_cast<const AdcOptions*>(nullptr), &linear, &tanh}) {
        for (const bool pair : {false, true}) {
          std::vector<T> i(static_cast<size_t>(inputs * (grid.cols + 3)), T(42));
          const OnGpu<T> gpu_i(i);
          const MatrixView<T> out{i.data(), inputs, grid.cols, grid.cols + 3};
          const MatrixView<T> gpu_out{gpu_i.data(), inputs, grid.cols, grid.cols + 3};
          const OnGpu<T> workspace(cuda::ReadWorkspaceBytes(grid, gpu_out) / static_cast<int64_t>(sizeof(T)));
          Read<T>(grid, pos.data(), pair ? neg.data() : nullptr, {v.data(), inputs, grid.rows, grid.rows}, adc, out);
          cuda::Read<T>(grid, gpu_pos.data(), pair ? gpu_neg.data() : nullptr,
                        {gpu_v.data(), inputs, grid.rows, grid.rows}, adc, gpu_out, workspace.data(), nullptr);
          EXPECT_EQ(gpu_i.Get(), i);
        }
      }
    }
  }
}

TEST_P(CudaReadTest, ReadsFloatsAsTheCpuDoes) { ExpectSameReads<float>(); }
TEST_P(CudaReadTest, ReadsDoublesAsTheCpuDoes) { ExpectSameReads<double>(); }

MT_GPU_SUITE(CudaReadTest);

}  // namespace
}  // namespace memtorch
