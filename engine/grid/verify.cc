#include <algorithm>
#include <cmath>
#include <sstream>
#include <stdexcept>
#include <vector>

#include "engine/grid/solver.h"
#include "engine/parallel.h"
#include "engine/random.h"

namespace memtorch {
namespace {

constexpr const char* kOp = "effective_matrix";
constexpr uint64_t kSeed = 0x6d656d72;  // any

// What effective conductances [rows, cols] lack of the currents of the devices g of one tile under volts [rows] and at
// the potentials word and bit, in parts of the largest current.
template <class T>
double Lacking(const GridView<const T>& effective, int64_t tile, const std::vector<double>& g,
               const std::vector<double>& volts, const std::vector<double>& word, const std::vector<double>& bit) {
  std::vector<double> devices(static_cast<size_t>(effective.cols), 0), product = devices;
  double largest = 0, lacking = 0;
  for (int64_t i = 0; i < effective.rows; ++i) {
    const T* row = effective.row(tile, i);
    for (size_t j = 0; j < devices.size(); ++j) {
      const size_t k = static_cast<size_t>(i) * devices.size() + j;
      const double current = g[k] * (word[k] - bit[k]);
      devices[j] += current;
      product[j] += volts[static_cast<size_t>(i)] * static_cast<double>(row[j]);
      largest = std::max(largest, std::abs(current));
    }
  }
  for (size_t j = 0; j < devices.size(); ++j) {
    largest = std::max(largest, std::abs(devices[j]));
    const double difference = std::abs(product[j] - devices[j]);
    if (!std::isfinite(difference)) return difference;
    lacking = std::max(lacking, difference);
  }
  return lacking == 0 ? 0 : lacking / largest;
}

}  // namespace

template <class T>
template <class G>
void GridSolver<T>::Verify(const GridView<const G>& g, const GridView<const T>& effective, double tolerance,
                           double* residual) const {
  CheckShape(kOp, "g", g, g.tiles, rows_, cols_);
  CheckShape(kOp, "effective", effective, g.tiles, rows_, cols_);
  CheckConductances(kOp, g);
  if (!(tolerance > 0)) Invalid(kOp, "tolerance (", tolerance, ") must be above 0");
  std::vector<double> volts(static_cast<size_t>(rows_));
  FillUniform(kSeed, 0, 0, volts.data(), rows_);
  GridSources sources;
  sources.word = {volts.data(), 1, rows_, rows_};
  ParallelFor(g.tiles, 1, [&](int64_t begin, int64_t end) {
    std::vector<double> word(static_cast<size_t>(rows_ * cols_)), bit(word.size());
    for (int64_t tile = begin; tile < end; ++tile) {
      const std::vector<double> devices = CopyOfTile(g, tile);
      memtorch::SolveNodes({devices.data(), rows_, cols_, cols_}, wires_, sources, {tolerance},
                           {word.data(), bit.data()});
      residual[tile] = Lacking(effective, tile, devices, volts, word, bit);
    }
  });
  for (int64_t tile = 0; tile < g.tiles; ++tile) {
    if (residual[tile] <= tolerance) continue;
    std::ostringstream text;
    text << '[' << kOp << "] residual (" << residual[tile] << ") of tile " << tile << " must be at most " << tolerance;
    throw std::runtime_error(text.str());
  }
}

template void GridSolver<float>::Verify(const GridView<const float>&, const GridView<const float>&, double,
                                        double*) const;
template void GridSolver<float>::Verify(const GridView<const double>&, const GridView<const float>&, double,
                                        double*) const;
template void GridSolver<double>::Verify(const GridView<const float>&, const GridView<const double>&, double,
                                         double*) const;
template void GridSolver<double>::Verify(const GridView<const double>&, const GridView<const double>&, double,
                                         double*) const;

}  // namespace memtorch
