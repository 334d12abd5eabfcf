// Slow reference for crossbars with resistive wires: every node by itself, in extended precision.
#ifndef MEMTORCH_TESTS_CPP_TESTING_DENSE_GRID_H_
#define MEMTORCH_TESTS_CPP_TESTING_DENSE_GRID_H_

#include <cstddef>
#include <numeric>
#include <vector>

#include "engine/grid/grid.h"

namespace memtorch::testing {

// A network of conductances whose nodes are eliminated one by one, without subtracting.
class DenseNetwork {
 public:
  explicit DenseNetwork(size_t nodes) : nodes_(nodes), n_(nodes * nodes, 0), name_(nodes) {
    std::iota(name_.begin(), name_.end(), size_t{0});
  }

  // A resistor of `ohm`; 0 makes the two nodes one, which takes the name of the larger.
  void Wire(size_t a, size_t b, double ohm) {
    if (ohm > 0) {
      resistors_.push_back({a, b, 1 / static_cast<long double>(ohm)});
      return;
    }
    const size_t from = std::min(Name(a), Name(b)), to = std::max(Name(a), Name(b));
    name_[from] = to;
  }
  void Device(size_t a, size_t b, double siemens) { resistors_.push_back({a, b, siemens}); }

  // Eliminates nodes [0, count).
  void Eliminate(size_t count) {
    for (const Resistor& r : resistors_) Add(Name(r.a), Name(r.b), r.siemens);
    for (size_t k = 0; k < count; ++k) {
      std::vector<size_t> others;
      long double sum = 0;
      for (size_t j = k + 1; j < nodes_; ++j) {
        if (At(k, j) == 0) continue;
        others.push_back(j);
        sum += At(k, j);
      }
      for (const size_t i : others) {
        const long double ratio = At(k, i) / sum;
        for (const size_t j : others) At(i, j) += ratio * At(k, j);
      }
    }
  }

  long double Between(size_t a, size_t b) const { return n_[a * nodes_ + b]; }

 private:
  struct Resistor {
    size_t a, b;
    long double siemens;
  };

  size_t Name(size_t node) const {
    while (name_[node] != node) node = name_[node];
    return node;
  }
  long double& At(size_t a, size_t b) { return n_[a * nodes_ + b]; }
  void Add(size_t a, size_t b, long double siemens) {
    if (a == b) return;
    At(a, b) += siemens;
    At(b, a) += siemens;
  }

  size_t nodes_;
  std::vector<long double> n_;
  std::vector<size_t> name_;
  std::vector<Resistor> resistors_;
};

// The effective conductances [rows, cols] of devices g [rows, cols].
inline std::vector<long double> DenseEffective(const std::vector<double>& g, int64_t rows, int64_t cols,
                                               const Wires& wires) {
  const size_t m = static_cast<size_t>(rows), n = static_cast<size_t>(cols), drivers = 2 * m * n, senses = drivers + m;
  DenseNetwork network(senses + n);
  const auto word = [&](size_t i, size_t j) { return 2 * (i * n + j); };
  const auto bit = [&](size_t i, size_t j) { return 2 * (i * n + j) + 1; };
  for (size_t i = 0; i < m; ++i) {
    network.Wire(drivers + i, word(i, 0), wires.source);
    if (wires.drive_both) network.Wire(drivers + i, word(i, n - 1), wires.source);
    for (size_t j = 0; j < n; ++j) {
      network.Device(word(i, j), bit(i, j), g[i * n + j]);
      if (j > 0) network.Wire(word(i, j - 1), word(i, j), wires.word);
      if (i > 0) network.Wire(bit(i - 1, j), bit(i, j), wires.bit);
    }
  }
  for (size_t j = 0; j < n; ++j) {
    network.Wire(bit(m - 1, j), senses + j, wires.load);
    if (wires.sense_both) network.Wire(bit(0, j), senses + j, wires.load);
  }
  network.Eliminate(drivers);
  std::vector<long double> effective;
  for (size_t i = 0; i < m; ++i) {
    for (size_t j = 0; j < n; ++j) effective.push_back(network.Between(drivers + i, senses + j));
  }
  return effective;
}

}  // namespace memtorch::testing

#endif  // MEMTORCH_TESTS_CPP_TESTING_DENSE_GRID_H_
