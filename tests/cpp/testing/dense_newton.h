// Slow reference for crossbars with resistive wires whose devices have curves of their own.
#ifndef MEMTORCH_TESTS_CPP_TESTING_DENSE_NEWTON_H_
#define MEMTORCH_TESTS_CPP_TESTING_DENSE_NEWTON_H_

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "engine/grid/grid.h"

namespace memtorch::testing {

// x of matrix x = right, by elimination with pivots.
inline std::vector<double> SolveDense(std::vector<std::vector<double>> matrix, std::vector<double> right) {
  const size_t n = right.size();
  for (size_t k = 0; k < n; ++k) {
    size_t pivot = k;
    for (size_t i = k + 1; i < n; ++i) {
      if (std::abs(matrix[i][k]) > std::abs(matrix[pivot][k])) pivot = i;
    }
    std::swap(matrix[k], matrix[pivot]);
    std::swap(right[k], right[pivot]);
    for (size_t i = k + 1; i < n; ++i) {
      const double factor = matrix[i][k] / matrix[k][k];
      for (size_t j = k; j < n; ++j) matrix[i][j] -= factor * matrix[k][j];
      right[i] -= factor * right[k];
    }
  }
  for (size_t k = n; k-- > 0;) {
    for (size_t j = k + 1; j < n; ++j) right[k] -= matrix[k][j] * right[j];
    right[k] /= matrix[k][k];
  }
  return right;
}

// Voltages across the devices [rows, cols] where word lines are driven at v_word [rows], volts, and senses are at 0 V.
// current(k, v) and slope(k, v) are those of device k. A device sees the voltage of its driver less what the currents of
// all devices lose along the wires that they share with it: v = driver - lost I(v). Newton's method on that, steps
// halved while they lead away.
template <class Current, class Slope>
std::vector<double> DeviceVoltages(int64_t rows, int64_t cols, const Wires& wires, const std::vector<double>& v_word,
                                   const Current& current, const Slope& slope) {
  const int64_t n = rows * cols;
  std::vector<std::vector<double>> lost(n, std::vector<double>(n));
  for (int64_t a = 0; a < n; ++a) {
    for (int64_t b = 0; b < n; ++b) {
      const int64_t i = a / cols, j = a % cols, k = b / cols, l = b % cols;
      if (i == k) lost[a][b] += wires.source + wires.word * static_cast<double>(std::min(j, l));
      if (j == l) lost[a][b] += wires.load + wires.bit * static_cast<double>(rows - 1 - std::max(i, k));
    }
  }
  const auto lacking = [&](const std::vector<double>& v) {
    std::vector<double> error(n);
    for (int64_t a = 0; a < n; ++a) {
      error[a] = v[a] - v_word[a / cols];
      for (int64_t b = 0; b < n; ++b) error[a] += lost[a][b] * current(b, v[b]);
    }
    return error;
  };
  const auto largest = [](const std::vector<double>& x) {
    double most = 0;
    for (const double value : x) most = std::max(most, std::abs(value));
    return most;
  };
  std::vector<double> v(n, 0.0), error = lacking(v);
  for (int step = 0; step < 200 && largest(error) > 0; ++step) {
    auto matrix = lost;
    for (int64_t b = 0; b < n; ++b) {
      const double s = slope(b, v[b]);
      for (int64_t a = 0; a < n; ++a) matrix[a][b] *= s;
      matrix[b][b] += 1;
    }
    const auto change = SolveDense(matrix, error);
    double part = 1;
    std::vector<double> next, next_error;
    for (int halving = 0; halving < 50; ++halving, part /= 2) {
      next = v;
      for (int64_t a = 0; a < n; ++a) next[a] -= part * change[a];
      next_error = lacking(next);
      if (largest(next_error) < largest(error)) break;
    }
    if (!(largest(next_error) < largest(error))) break;  // rounding is all that is left
    v = next;
    error = next_error;
  }
  return v;
}

}  // namespace memtorch::testing

#endif  // MEMTORCH_TESTS_CPP_TESTING_DENSE_NEWTON_H_
