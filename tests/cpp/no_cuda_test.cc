// What a build without CUDA says when it is asked for CUDA.

#include <gtest/gtest.h>

#include <functional>
#include <stdexcept>
#include <string>

#include "engine/cuda/grid.h"
#include "engine/cuda/nodes.h"
#include "engine/cuda/params.h"
#include "engine/cuda/random.h"
#include "engine/cuda/simulate.h"
#include "engine/cuda/weights.h"
#include "engine/cuda/wired_read.h"

namespace memtorch::cuda {
namespace {

std::string RefusalOf(const std::function<void()>& call) {
  try {
    call();
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

TEST(NoCudaTest, SaysHowToGetIt) {
  const std::string rest = "] memtorch was built without CUDA; rebuild with --config=cuda";
  EXPECT_EQ(RefusalOf([] { Simulate("VTEAM", {}, {}, {}, nullptr, nullptr); }), "[simulate" + rest);
  EXPECT_EQ(RefusalOf([] { SetConductance("VTEAM", {}, {}, nullptr); }), "[set_conductance" + rest);
  EXPECT_EQ(RefusalOf([] { UpdateConductance("VTEAM", {}, nullptr); }), "[update_conductance" + rest);
  EXPECT_EQ(RefusalOf([] { Reset("VTEAM", {}, nullptr); }), "[reset" + rest);
  EXPECT_EQ(RefusalOf([] { FindBadParams("VTEAM", {}, nullptr, nullptr); }), "[check_params" + rest);
  EXPECT_EQ(RefusalOf([] { FillDistributed({}, 0, 0, 0, nullptr, 0, nullptr); }), "[fill_distributed" + rest);
  EXPECT_EQ(RefusalOf([] { MapWeights<float>({}, nullptr, 0, nullptr, nullptr, nullptr); }), "[map_weights" + rest);
  EXPECT_EQ(RefusalOf([] { SumWeights<double>({}, nullptr, nullptr, nullptr); }), "[sum_weights" + rest);
  EXPECT_EQ(RefusalOf([] { GridSolver<float>(1, 1, {}); }), "[grid_solver" + rest);
  EXPECT_EQ(RefusalOf([] { SolveNodes(SinhDevices(), {}, {}, {}, {}, nullptr, nullptr); }), "[solve_nodes" + rest);
  EXPECT_EQ(RefusalOf([] { ReadThroughWires("VTEAM", {}, {}, nullptr, nullptr, nullptr, nullptr); }),
            "[read_through_wires" + rest);
}

}  // namespace
}  // namespace memtorch::cuda
