#include "engine/grid/branches.h"

#include <algorithm>

namespace memtorch {
namespace {

// A line of n segments from one source to the same again, with resistance `end` at both ends and `inner` between, that
// carries s[k] and a common current: the common current, by Kirchhoff's law of voltages.
double CommonCurrent(const double* s, int64_t stride, int64_t n, double end, double inner) {
  if (end == 0 && inner == 0) end = inner = 1;
  double volts = end * (s[0] + s[(n - 1) * stride]);
  for (int64_t k = 1; k + 1 < n; ++k) volts += inner * s[k * stride];
  return -volts / (2 * end + static_cast<double>(n - 2) * inner);
}

void AddCommon(double* s, int64_t stride, int64_t n, double end, double inner) {
  const double common = CommonCurrent(s, stride, n, end, inner);
  for (int64_t k = 0; k < n; ++k) s[k * stride] += common;
}

bool IsOpen(const bool* open, int64_t line) { return open != nullptr && open[line]; }

double SumOfSquares(const double* s, int64_t stride, int64_t n) {
  double sum = 0;
  for (int64_t k = 0; k < n; ++k) sum += s[k * stride] * s[k * stride];
  return sum;
}

}  // namespace

void SolveBranches(int64_t rows, int64_t cols, const double* device, const Wires& wires, const GridSources& sources,
                   const GridBranches& branches) {
  for (int64_t i = 0; i < rows; ++i) {
    double* line = branches.word + i * (cols + 1);
    line[cols] = 0;
    for (int64_t j = cols - 1; j >= 0; --j) line[j] = line[j + 1] + device[i * cols + j];
    if (IsOpen(sources.word_open, i)) {
      line[0] = 0;  // but for rounding it is
    } else if (wires.drive_both) {
      AddCommon(line, 1, cols + 1, wires.source, wires.word);
    }
  }
  std::fill_n(branches.bit, cols, 0.0);
  for (int64_t i = 0; i < rows; ++i) {  // all lines side by side
    double* row = branches.bit + i * cols;
    for (int64_t j = 0; j < cols; ++j) row[cols + j] = row[j] + device[i * cols + j];
  }
  for (int64_t j = 0; j < cols; ++j) {
    double* line = branches.bit + j;
    if (IsOpen(sources.bit_open, j)) {
      line[rows * cols] = 0;
    } else if (wires.sense_both) {
      AddCommon(line, cols, rows + 1, wires.load, wires.bit);
    }
  }
}

GridPower PowerOf(int64_t rows, int64_t cols, const double* device, const double* word_nodes, const double* bit_nodes,
                  const Wires& wires, const GridSources& sources, int64_t vector, const GridBranches& branches) {
  GridPower power{};
  for (int64_t k = 0; k < rows * cols; ++k) power.devices += device[k] * (word_nodes[k] - bit_nodes[k]);
  for (int64_t i = 0; i < rows; ++i) {
    const double* line = branches.word + i * (cols + 1);
    power.word += wires.word * SumOfSquares(line + 1, 1, cols - 1);
    power.source += wires.source * (line[0] * line[0] + line[cols] * line[cols]);
    power.delivered += sources.word(vector, i) * (line[0] - line[cols]);
  }
  for (int64_t j = 0; j < cols; ++j) {
    const double* line = branches.bit + j;
    const double bottom = line[rows * cols];
    power.bit += wires.bit * SumOfSquares(line + cols, cols, rows - 1);
    power.load += wires.load * (line[0] * line[0] + bottom * bottom);
    if (sources.bit.data != nullptr) power.delivered -= sources.bit(vector, j) * (bottom - line[0]);
  }
  return power;
}

}  // namespace memtorch
