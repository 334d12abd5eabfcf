// Products by whole warps and by blocks of threads, emulated: engine/cuda/warp_product.h, product_square.h. Elements are
// small whole numbers, so that sums are exact in any order.

#include "engine/cuda/product_square.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <vector>

#include "engine/cuda/warp_product.h"
#include "tests/cpp/cuda/gpu.h"

namespace memtorch::cuda {
namespace {

using Fragments = WarpFragments;

int NumberAt(int matrix, int row, int col) { return (matrix * 31 + row * 7 + col * 13 + row * col) % 11 - 5; }

// PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating point type", .f64, as its text has it.
TEST(WarpProductTest, FragmentsAreThoseOfThePtxIsa) {
  for (int lane = 0; lane < kWarp; ++lane) {
    const int group = lane >> 2, in_group = lane % 4;
    for (int i = 0; i < Fragments::kLeft; ++i) {
      EXPECT_EQ(Fragments::LeftRow(lane, i), i == 0 || i == 2 || i == 4 || i == 6 ? group : group + 8);
      EXPECT_EQ(Fragments::LeftDepth(lane, i), i < 2   ? in_group
                                               : i < 4 ? in_group + 4
                                               : i < 6 ? in_group + 8
                                                       : in_group + 12);
    }
    for (int i = 0; i < Fragments::kRight; ++i) {
      EXPECT_EQ(Fragments::RightDepth(lane, i), in_group + (i == 0 ? 0 : i == 1 ? 4 : i == 2 ? 8 : 12));
      EXPECT_EQ(Fragments::RightCol(lane), group);
    }
    for (int i = 0; i < Fragments::kSum; ++i) {
      EXPECT_EQ(Fragments::SumRow(lane, i), i < 2 ? group : group + 8);
      EXPECT_EQ(Fragments::SumCol(lane, i), in_group * 2 + (i & 1));
    }
  }
}

TEST(WarpProductTest, EveryElementHasItsLane) {
  std::array<int, Fragments::kRows * Fragments::kDepth> left{};
  std::array<int, Fragments::kDepth * Fragments::kCols> right{};
  std::array<int, Fragments::kRows * Fragments::kCols> sum{};
  for (int lane = 0; lane < kWarp; ++lane) {
    for (int i = 0; i < Fragments::kLeft; ++i) {
      ++left.at(static_cast<size_t>(Fragments::LeftRow(lane, i) * Fragments::kDepth + Fragments::LeftDepth(lane, i)));
    }
    for (int i = 0; i < Fragments::kRight; ++i) {
      ++right.at(static_cast<size_t>(Fragments::RightDepth(lane, i) * Fragments::kCols + Fragments::RightCol(lane)));
    }
    for (int i = 0; i < Fragments::kSum; ++i) {
      ++sum.at(static_cast<size_t>(Fragments::SumRow(lane, i) * Fragments::kCols + Fragments::SumCol(lane, i)));
    }
  }
  for (const int count : left) EXPECT_EQ(count, 1);
  for (const int count : right) EXPECT_EQ(count, 1);
  for (const int count : sum) EXPECT_EQ(count, 1);
}

// Every warp of a block multiplies matrices of its own, twice.
constexpr int kWarps = 3, kDown = 2, kAcross = 3;
struct MultiplyTwice {
  double* out;  // [kWarps, kDown, kAcross, kRows, kCols]

  void operator()(const Block& block) const {
    PerThread<WarpSums<kDown, kAcross>, kWarps * kWarp> sums;
    block.EachThread([&](int t) { sums[t] = {}; });
    for (int turn = 0; turn < 2; ++turn) {
      MultiplyWarps<kWarps * kWarp>(
          block,
          [&](int t, WarpOperands<kDown, kAcross>* operands) {
            const int warp = t / kWarp, lane = t % kWarp;
            for (int i = 0; i < Fragments::kLeft; ++i) {
              for (int d = 0; d < kDown; ++d) {
                const int matrix = warp * kDown + d + turn;
                operands->left[d][i] = NumberAt(matrix, Fragments::LeftRow(lane, i), Fragments::LeftDepth(lane, i));
              }
            }
            for (int i = 0; i < Fragments::kRight; ++i) {
              for (int a = 0; a < kAcross; ++a) {
                const int matrix = 100 + warp * kAcross + a + turn;
                operands->right[a][i] = NumberAt(matrix, Fragments::RightDepth(lane, i), Fragments::RightCol(lane));
              }
            }
          },
          &sums);
    }
    block.EachThread([&](int t) {
      const int warp = t / kWarp, lane = t % kWarp;
      for (int d = 0; d < kDown; ++d) {
        for (int a = 0; a < kAcross; ++a) {
          for (int i = 0; i < Fragments::kSum; ++i) {
            const int row = Fragments::SumRow(lane, i), col = Fragments::SumCol(lane, i);
            const int product = (warp * kDown + d) * kAcross + a;
            out[(product * Fragments::kRows + row) * Fragments::kCols + col] = sums[t].at[d][a][i];
          }
        }
      }
    });
  }
};

class ProductSquareTest : public testing::GpuTest {};

TEST_P(ProductSquareTest, WarpsMultiply) {
  std::vector<double> out(kWarps * kDown * kAcross * Fragments::kRows * Fragments::kCols, -1);
  ForBlocks<kWarps * kWarp>("test", 1, 0, MultiplyTwice{out.data()}, nullptr);
  for (size_t e = 0; e < out.size(); ++e) {
    const int col = static_cast<int>(e) % Fragments::kCols,
              row = static_cast<int>(e) / Fragments::kCols % Fragments::kRows;
    const int product = static_cast<int>(e) / (Fragments::kCols * Fragments::kRows);
    const int warp = product / (kDown * kAcross), d = product / kAcross % kDown, a = product % kAcross;
    double expected = 0;
    for (int turn = 0; turn < 2; ++turn) {
      for (int k = 0; k < Fragments::kDepth; ++k) {
        expected += NumberAt(warp * kDown + d + turn, row, k) * NumberAt(100 + warp * kAcross + a + turn, k, col);
      }
    }
    ASSERT_EQ(out[e], expected) << "product " << product << ", row " << row << ", column " << col;
  }
}

// A square of a product whose operands have `down` and `across` columns.
template <class T, int kSide, bool kLeftDeep, bool kRightDeep>
struct OneSquare {
  int depth, down, across;
  const T *left, *right;
  T* out;  // [kSide, kSide]

  void operator()(const Block& block) const {
    ProductSquare<T, kSide> square;
    square.Clear(block);
    square.AddProduct(block, depth, Operand<T, kLeftDeep>{left, kLeftDeep ? depth : down, down},
                      Operand<T, kRightDeep>{right, kRightDeep ? depth : across, across});
    square.ForEachSum(block, [&](int, int, T* sum) { *sum += 1; });
    // They stay where they are.
    block.Each(kSide * kSide, [&](int e) {
      out[e] = block.Shared<T>()[e / kSide * ProductSquare<T, kSide>::kStride + e % kSide] - 1;
    });
  }
};

template <class T, int kSide, bool kLeftDeep, bool kRightDeep>
void ExpectSquare(int depth, int down, int across) {
  SCOPED_TRACE(::testing::Message() << kSide << ", " << sizeof(T) << " bytes, deep " << kLeftDeep << kRightDeep
                                    << ", depth " << depth << ", " << down << " x " << across);
  const auto matrix = [&](int number, int count, bool deep) {
    std::vector<T> elements(static_cast<size_t>(std::max(depth * count, 1)));
    for (int k = 0; k < depth; ++k) {
      for (int i = 0; i < count; ++i) {
        elements[static_cast<size_t>(deep ? i * depth + k : k * count + i)] = static_cast<T>(NumberAt(number, k, i));
      }
    }
    return elements;
  };
  const std::vector<T> left = matrix(1, down, kLeftDeep), right = matrix(2, across, kRightDeep);
  std::vector<T> out(kSide * kSide, -1);
  using Square = ProductSquare<T, kSide>;
  ForBlocks<Square::kThreads>(
      "test", 1, Square::kSharedBytes,
      OneSquare<T, kSide, kLeftDeep, kRightDeep>{depth, down, across, left.data(), right.data(), out.data()}, nullptr);
  for (int e = 0; e < kSide * kSide; ++e) {
    const int row = e / kSide, col = e % kSide;
    T expected = 0;
    for (int k = 0; k < depth && row < down && col < across; ++k) {
      expected += static_cast<T>(NumberAt(1, k, row) * NumberAt(2, k, col));
    }
    ASSERT_EQ(out[static_cast<size_t>(e)], expected) << "row " << row << ", column " << col;
  }
}

template <class T, int kSide>
void ExpectSquares() {
  for (const int depth : {0, 1, 15, 16, 17, 48, 100}) {
    for (const int count : {1, kSide - 1, kSide, kSide + 9}) {
      ExpectSquare<T, kSide, false, false>(depth, count, kSide);
      ExpectSquare<T, kSide, true, false>(depth, kSide, count);
      ExpectSquare<T, kSide, true, true>(depth, count, count);
    }
  }
}

TEST_P(ProductSquareTest, SquaresOfAnyDepth) {
  ExpectSquares<double, 32>();
  ExpectSquares<double, 64>();
  ExpectSquares<float, 32>();
  ExpectSquares<float, 64>();
}

MT_GPU_SUITE(ProductSquareTest);

}  // namespace
}  // namespace memtorch::cuda
