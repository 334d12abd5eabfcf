#include <limits>
#include <vector>

#include "engine/cuda/launch.h"
#include "engine/cuda/quantize.h"
#include "engine/cuda/read.h"
#include "engine/quantize_checks.h"
#include "engine/read_checks.h"

namespace memtorch::cuda {
namespace {

constexpr int kThreads = 128;  // columns of a block
constexpr int kInputs = 8;     // input vectors of a block: a cell is fetched once for them
constexpr int kRows = 64;      // rows whose voltages are in shared memory at a time

// partial[t, b, c] = sum over the rows r of tile row t, in order, of v[b, r] (g_pos - g_neg)[r, c].
template <class T>
struct MultiplyBlock {
  TileGrid grid;
  const float* g_pos;
  const float* g_neg;
  MatrixView<const T> v;
  T* partial;
  int64_t row_stride;  // of partial, from one input vector to the next

  MT_HD int64_t groups() const { return (v.rows + kInputs - 1) / kInputs; }
  MT_HD int64_t strips() const { return (grid.cols + kThreads - 1) / kThreads; }

  struct Sums {
    T of[kInputs];
  };

  MT_HD void operator()(const Block& block) const {
    T* volts = block.template Shared<T>();  // [kRows, kInputs]
    const int64_t strip = block.index() % strips(), input = block.index() / strips() % groups() * kInputs;
    const int64_t tile_row = block.index() / strips() / groups();
    const int64_t begin = tile_row * grid.tile_rows;
    const int64_t end = begin + grid.tile_rows < grid.rows ? begin + grid.tile_rows : grid.rows;
    PerThread<Sums, kThreads> sums;
    block.Each(kThreads, [&](int thread) {
      for (int b = 0; b < kInputs; ++b) sums[thread].of[b] = 0;
    });
    for (int64_t first = begin; first < end; first += kRows) {
      const int rows = static_cast<int>(end - first < kRows ? end - first : kRows);
      block.Each(rows * kInputs, [&](int k) {
        const int64_t b = input + k / rows;
        volts[k % rows * kInputs + k / rows] = b < v.rows ? v(b, first + k % rows) : T(0);
      });
      block.Each(kThreads, [&](int thread) {
        const int64_t c = strip * kThreads + thread;
        if (c >= grid.cols) return;
        for (int r = 0; r < rows; ++r) {
          const int64_t cell = grid.offset(first + r, c);
          const T g = g_neg == nullptr ? static_cast<T>(g_pos[cell])
                                       : static_cast<T>(g_pos[cell]) - static_cast<T>(g_neg[cell]);
          for (int b = 0; b < kInputs; ++b) sums[thread].of[b] += volts[r * kInputs + b] * g;
        }
      });
    }
    block.Each(kThreads, [&](int thread) {
      const int64_t c = strip * kThreads + thread;
      if (c >= grid.cols) return;
      for (int b = 0; b < kInputs && input + b < v.rows; ++b) {
        partial[(tile_row * v.rows + input + b) * row_stride + c] = sums[thread].of[b];
      }
    });
  }
};

template <class T>
struct SumParts {
  const T* partial;
  int64_t parts;
  MatrixView<T> out;

  MT_HD void operator()(int64_t element) const {
    const int64_t b = element / out.cols, c = element % out.cols;
    T sum = 0;
    for (int64_t t = 0; t < parts; ++t) sum += partial[(t * out.rows + b) * out.stride + c];
    out(b, c) = sum;
  }
};

}  // namespace

template <class T>
int64_t ReadWorkspaceBytes(const TileGrid& grid, const MatrixView<T>& i) {
  return grid.down() * i.rows * i.stride * static_cast<int64_t>(sizeof(T));
}

template <class T>
void Read(const TileGrid& grid, const float* g_pos, const float* g_neg, MatrixView<const T> v, const AdcOptions* adc,
          MatrixView<T> i, void* workspace, void* stream) {
  const char* op = "read";
  CheckReadShapes(op, grid, v, i);
  if (adc != nullptr) CheckAdc(op, *adc, static_cast<double>(std::numeric_limits<T>::max()));
  T* partial = static_cast<T*>(workspace);
  const MultiplyBlock<T> multiply{grid, g_pos, g_neg, v, partial, i.stride};
  ForBlocks<kThreads>(op, grid.down() * multiply.groups() * multiply.strips(),
                      kRows * kInputs * static_cast<int64_t>(sizeof(T)), multiply, stream);
  if (adc == nullptr) return ForEach(op, i.rows * i.cols, SumParts<T>{partial, grid.down(), i}, stream);
  PartialSums<T> sums;
  sums.data = partial;
  sums.parts = grid.down();
  sums.outer = i.rows;
  sums.cols = grid.cols;
  sums.inner = 1;
  sums.part_stride = i.rows * i.stride;
  sums.outer_stride = i.stride;
  sums.col_stride = 1;
  sums.inner_stride = 1;
  std::vector<int64_t> ends;
  for (int64_t end = grid.tile_cols; end < grid.cols; end += grid.tile_cols) ends.push_back(end);
  ends.push_back(grid.cols);
  DigitizeAndSum(*adc, sums, ends, i.data, stream);
}

template int64_t ReadWorkspaceBytes(const TileGrid&, const MatrixView<float>&);
template int64_t ReadWorkspaceBytes(const TileGrid&, const MatrixView<double>&);
template void Read(const TileGrid&, const float*, const float*, MatrixView<const float>, const AdcOptions*,
                   MatrixView<float>, void*, void*);
template void Read(const TileGrid&, const float*, const float*, MatrixView<const double>, const AdcOptions*,
                   MatrixView<double>, void*, void*);

}  // namespace memtorch::cuda
