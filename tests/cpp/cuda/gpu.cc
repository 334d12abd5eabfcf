#include "tests/cpp/cuda/gpu.h"

#include "engine/cuda/launch.h"

namespace memtorch::testing {

void GpuTest::SetUp() {
  const cuda::Availability found = cuda::Query();
  if (found.devices == 0) GTEST_SKIP() << "there is no GPU here: " << found.reason;
  if (GetParam() == 1 && !cuda::Emulated()) GTEST_SKIP() << "a GPU has no order to reverse";
  cuda::SetDescendingEmulation(GetParam() == 1);
}

void GpuTest::TearDown() { cuda::SetDescendingEmulation(false); }

}  // namespace memtorch::testing
