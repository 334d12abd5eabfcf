#include "engine/read.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "engine/parallel.h"
#include "engine/quantize_checks.h"
#include "engine/read_checks.h"
#include "engine/read_kernels.h"

namespace memtorch {
namespace {

constexpr int64_t kInputBlock = 16;  // input vectors that are read together: a tile's cells are fetched once for them

template <class T>
void CheckVoltages(const MatrixView<const T>& v) {
  for (int64_t b = 0; b < v.rows; ++b) {
    for (int64_t r = 0; r < v.cols; ++r) {
      if (!std::isfinite(v(b, r))) Invalid("read", "v[", b, ", ", r, "] (", v(b, r), " V) must be finite");
    }
  }
}

void CheckConductances(const char* name, const float* g, int64_t cells) {
  for (int64_t k = 0; g != nullptr && k < cells; ++k) {
    if (!(g[k] >= 0 && std::isfinite(g[k]))) {
      Invalid("read", name, "[", k, "] (", g[k], " S) must be finite and not negative");
    }
  }
}

// The currents of one column of tiles for the input vectors [begin, end).
template <class T>
class TileColumn {
 public:
  TileColumn(const TileGrid& grid, int64_t tile_col, const float* g_pos, const float* g_neg)
      : grid_(grid), tile_col_(tile_col), g_pos_(g_pos), g_neg_(g_neg) {}

  int64_t first() const { return tile_col_ * grid_.tile_cols; }
  int64_t cols() const { return std::min(grid_.tile_cols, grid_.cols - first()); }

  void Read(const MatrixView<const T>& v, int64_t begin, int64_t end, const AdcOptions* adc, const MatrixView<T>& i) {
    PartialSums<T> sums;
    sums.parts = grid_.down();
    sums.outer = end - begin;
    sums.cols = cols();
    sums.inner = 1;
    sums.part_stride = sums.outer * sums.cols;
    sums.outer_stride = sums.cols;
    sums.col_stride = 1;
    sums.inner_stride = 1;
    partial_.resize(static_cast<size_t>(sums.parts * sums.part_stride));
    for (int64_t t = 0; t < sums.parts; ++t) Multiply(v, begin, end, t, partial_.data() + t * sums.part_stride);
    sums.data = partial_.data();
    sum_.assign(static_cast<size_t>(sums.part_stride), T(0));
    if (adc != nullptr) {
      DigitizeAndSum(*adc, sums, {sums.cols}, sum_.data());
    } else {
      for (auto part = partial_.begin(); part != partial_.end(); part += sums.part_stride) {
        std::transform(sum_.begin(), sum_.end(), part, sum_.begin(), std::plus<T>());
      }
    }
    for (int64_t b = begin; b < end; ++b) std::copy_n(&sum_[(b - begin) * sums.cols], sums.cols, &i(b, first()));
  }

 private:
  // out [inputs, cols] of the tile in row `tile_row` of this column.
  void Multiply(const MatrixView<const T>& v, int64_t begin, int64_t end, int64_t tile_row, T* out) const {
    const int64_t row = tile_row * grid_.tile_rows;
    const int64_t cell = grid_.offset(row, first());
    ActiveReadKernels<T>().multiply({end - begin, std::min(grid_.tile_rows, grid_.rows - row), cols(), &v(begin, row),
                                     v.stride, g_pos_ + cell, g_neg_ == nullptr ? nullptr : g_neg_ + cell,
                                     grid_.tile_cols, out, cols()});
  }

  const TileGrid& grid_;
  const int64_t tile_col_;
  const float* const g_pos_;
  const float* const g_neg_;
  std::vector<T> partial_, sum_;
};

}  // namespace

template <class T>
void Read(const TileGrid& grid, const float* g_pos, const float* g_neg, MatrixView<const T> v, const AdcOptions* adc,
          MatrixView<T> i) {
  CheckReadShapes("read", grid, v, i);
  if (adc != nullptr) CheckAdc("read", *adc, static_cast<double>(std::numeric_limits<T>::max()));
  CheckConductances("g_pos", g_pos, grid.cells());
  CheckConductances("g_neg", g_neg, grid.cells());
  CheckVoltages(v);
  const int64_t blocks = (v.rows + kInputBlock - 1) / kInputBlock;
  ParallelFor(grid.across() * blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      const int64_t first = k % blocks * kInputBlock;
      TileColumn<T> column(grid, k / blocks, g_pos, g_neg);
      column.Read(v, first, std::min(v.rows, first + kInputBlock), adc, i);
    }
  });
}

template void Read(const TileGrid&, const float*, const float*, MatrixView<const float>, const AdcOptions*,
                   MatrixView<float>);
template void Read(const TileGrid&, const float*, const float*, MatrixView<const double>, const AdcOptions*,
                   MatrixView<double>);

}  // namespace memtorch
