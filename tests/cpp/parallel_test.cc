#include "engine/parallel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <mutex>
#include <stdexcept>
#include <utility>
#include <vector>

namespace memtorch {
namespace {

using Chunks = std::vector<std::pair<int64_t, int64_t>>;

class ParallelTest : public ::testing::Test {
 protected:
  void TearDown() override { SetNumThreads(0); }

  // The chunks that ParallelFor calls, sorted.
  static Chunks Run(int64_t n, int64_t grain) {
    std::mutex mutex;
    Chunks chunks;
    ParallelFor(n, grain, [&](int64_t begin, int64_t end) {
      const std::lock_guard<std::mutex> lock(mutex);
      chunks.emplace_back(begin, end);
    });
    std::sort(chunks.begin(), chunks.end());
    return chunks;
  }
};

TEST_F(ParallelTest, CoversTheRangeInChunksOfTheGrain) {
  EXPECT_EQ(Run(10, 4), (Chunks{{0, 4}, {4, 8}, {8, 10}}));
  EXPECT_EQ(Run(8, 4), (Chunks{{0, 4}, {4, 8}}));
  EXPECT_EQ(Run(3, 100), (Chunks{{0, 3}}));
  EXPECT_EQ(Run(2, 0), (Chunks{{0, 1}, {1, 2}}));  // a grain below 1 counts as 1
  EXPECT_EQ(Run(0, 4), Chunks{});
  EXPECT_EQ(Run(-5, 4), Chunks{});
}

TEST_F(ParallelTest, ChunksDoNotDependOnTheNumberOfThreads) {
  SetNumThreads(1);
  const Chunks one = Run(1000, 7);
  for (const int threads : {2, 3, 8}) {
    SetNumThreads(threads);
    EXPECT_EQ(NumThreads(), threads);
    EXPECT_EQ(Run(1000, 7), one);
  }
}

TEST_F(ParallelTest, RethrowsTheErrorOfABody) {
  for (const int threads : {1, 4}) {
    SetNumThreads(threads);
    int64_t done = 0;
    std::mutex mutex;
    EXPECT_THROW(ParallelFor(100, 1,
                             [&](int64_t begin, int64_t) {
                               if (begin == 3) throw std::runtime_error("three");
                               const std::lock_guard<std::mutex> lock(mutex);
                               ++done;
                             }),
                 std::runtime_error);
    EXPECT_LT(done, 100);
    EXPECT_EQ(Run(100, 10).size(), 10u);  // the next loop runs as ever
  }
}

TEST_F(ParallelTest, ZeroThreadsMeansTheDefault) {
  SetNumThreads(5);
  SetNumThreads(0);
  const int standard = NumThreads();
  EXPECT_GE(standard, 1);
  SetNumThreads(-3);
  EXPECT_EQ(NumThreads(), standard);
}

TEST_F(ParallelTest, NestedLoopsRun) {
  SetNumThreads(2);
  std::mutex mutex;
  int64_t sum = 0;
  ParallelFor(4, 1, [&](int64_t, int64_t) {
    ParallelFor(8, 2, [&](int64_t begin, int64_t end) {
      const std::lock_guard<std::mutex> lock(mutex);
      sum += end - begin;
    });
  });
  EXPECT_EQ(sum, 32);
}

}  // namespace
}  // namespace memtorch
