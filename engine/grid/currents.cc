#include "engine/grid/currents.h"

#include <algorithm>

#include "engine/parallel.h"

namespace memtorch {
namespace {

template <class T>
void CheckShape(const char* op, const char* name, const MatrixView<T>& matrix, int64_t rows, int64_t cols) {
  if (matrix.rows == rows && matrix.cols == cols) return;
  Invalid(op, name, " ([", matrix.rows, ", ", matrix.cols, "]) must have shape [", rows, ", ", cols, "]");
}

int64_t Grain(int64_t vectors) { return std::max<int64_t>(1, vectors / (4 * NumThreads())); }

}  // namespace

template <class T>
void GridCurrents(MatrixView<const T> effective, MatrixView<const T> volts, MatrixView<T> currents) {
  const char* op = "grid_currents";
  CheckShape(op, "volts", volts, volts.rows, effective.rows);
  CheckShape(op, "currents", currents, volts.rows, effective.cols);
  ParallelFor(volts.rows, Grain(volts.rows), [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      T* sum = &currents(k, 0);
      std::fill_n(sum, effective.cols, T(0));
      for (int64_t i = 0; i < effective.rows; ++i) {
        const T* row = &effective(i, 0);
        for (int64_t j = 0; j < effective.cols; ++j) sum[j] += volts(k, i) * row[j];
      }
    }
  });
}

template <class T>
void GridSourceGradient(MatrixView<const T> effective, MatrixView<const T> upstream, MatrixView<T> gradient) {
  const char* op = "grid_source_gradient";
  CheckShape(op, "upstream", upstream, upstream.rows, effective.cols);
  CheckShape(op, "gradient", gradient, upstream.rows, effective.rows);
  ParallelFor(upstream.rows, Grain(upstream.rows), [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      for (int64_t i = 0; i < effective.rows; ++i) {
        T sum = 0;
        for (int64_t j = 0; j < effective.cols; ++j) sum += effective(i, j) * upstream(k, j);
        gradient(k, i) = sum;
      }
    }
  });
}

template void GridCurrents(MatrixView<const float>, MatrixView<const float>, MatrixView<float>);
template void GridCurrents(MatrixView<const double>, MatrixView<const double>, MatrixView<double>);
template void GridSourceGradient(MatrixView<const float>, MatrixView<const float>, MatrixView<float>);
template void GridSourceGradient(MatrixView<const double>, MatrixView<const double>, MatrixView<double>);

}  // namespace memtorch
