// What :emulated_threads finds in functors that are wrong (engine/cuda/emulation.h), and that right ones pass.

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "engine/cuda/launch.h"

namespace memtorch::cuda {
namespace {

constexpr int kThreads = 64;

// Each thread hands a number to the next one.
struct HandOn {
  int* out;
  bool waits;

  MT_HD void operator()(const Block& block) const {
    int* const shared = block.Shared<int>();
    PerThread<int, kThreads> kept;
    block.EachThread([&](int thread) { kept[thread] = 10 * thread; });
    if (waits) {
      block.EachThread([&](int thread) { shared[thread] = kept[thread]; });
      block.EachThread([&](int thread) { out[block.index() * kThreads + thread] = shared[(thread + 1) % kThreads]; });
    } else {
      block.EachThread([&](int thread) {
        shared[thread] = kept[thread];
        out[block.index() * kThreads + thread] = shared[(thread + 1) % kThreads];
      });
    }
  }
};

std::vector<int> HandedOn(bool waits) {
  std::vector<int> out(2 * kThreads);
  ForBlocks<kThreads>("hand_on", 2, kThreads * 4, HandOn{out.data(), waits}, nullptr);
  return out;
}

TEST(EmulatedThreadsTest, ThreadsSeeWhatWasWrittenBeforeTheyMet) {
  for (const bool descending : {false, true}) {
    SetDescendingEmulation(descending);
    const std::vector<int> out = HandedOn(true);
    SetDescendingEmulation(false);
    for (int k = 0; k < 2 * kThreads; ++k) EXPECT_EQ(out[static_cast<size_t>(k)], 10 * ((k + 1) % kThreads));
  }
}

// ThreadSanitizer ends a program in which it found something with 66.
TEST(EmulatedThreadsDeathTest, AMissingBarrierIsARace) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        HandedOn(false);
        std::exit(0);
      },
      ::testing::ExitedWithCode(66), "data race");
}

// All elements of a launch add to one number.
struct AddUp {
  int64_t* sum;
  MT_HD void operator()(int64_t k) const { *sum += k; }
};

TEST(EmulatedThreadsDeathTest, ElementsThatShareANumberAreARace) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        int64_t sum = 0;
        ForEach("add_up", 5, AddUp{&sum}, nullptr);
        std::exit(0);
      },
      ::testing::ExitedWithCode(66), "data race");
}

// Blocks that write the same number.
struct WriteOne {
  int* out;
  MT_HD void operator()(const Block& block) const {
    block.Each(1, [&](int) { *out = 1; });
  }
};

TEST(EmulatedThreadsDeathTest, BlocksThatShareANumberAreARace) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        int out = 0;
        ForBlocks<kThreads>("write_one", 4, 0, WriteOne{&out}, nullptr);
        std::exit(0);
      },
      ::testing::ExitedWithCode(66), "data race");
}

// Threads that go different ways to a barrier.
struct Part {
  int way;
  MT_HD void operator()(const Block& block) const {
    int mine = 0;
    block.EachThread([&](int thread) { mine = thread; });
    if (way == 0) {
      if (mine < 40) block.Wait();
    } else if (way == 1) {
      block.Each(mine < 40 ? 1 : 2, [](int) {});
    } else if (mine < 40) {
      block.EachThread([](int) {});
    } else {
      block.EachThread([](int) {});
    }
  }
};

TEST(EmulatedThreadsTest, ThreadsMustMeetAtTheSameBarrier) {
  for (int way = 0; way < 3; ++way) {
    std::string message;
    try {
      ForBlocks<kThreads>("part", 1, 0, Part{way}, nullptr);
    } catch (const std::logic_error& error) {
      message = error.what();
    }
    EXPECT_EQ(message, "[emulation] threads 0 and 40 of a block must meet at the same place") << way;
  }
  EXPECT_EQ(HandedOn(true)[0], 10);  // and the next launch is not the worse for it
}

}  // namespace
}  // namespace memtorch::cuda
