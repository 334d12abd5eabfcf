// Slow reference for crossbars with resistive wires: every node by itself, in extended precision.
#ifndef MEMTORCH_TESTS_CPP_TESTING_DENSE_GRID_H_
#define MEMTORCH_TESTS_CPP_TESTING_DENSE_GRID_H_

#include <algorithm>
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

  // Potentials of all nodes after Eliminate(count), given those of the nodes from count on, which `potentials` holds.
  // A node that nothing holds is at 0 V.
  void Substitute(size_t count, std::vector<long double>* potentials) const {
    for (size_t k = count; k-- > 0;) {
      long double sum = 0, weighted = 0;
      for (size_t j = k + 1; j < nodes_; ++j) {
        sum += n_[k * nodes_ + j];
        weighted += n_[k * nodes_ + j] * (*potentials)[j];
      }
      (*potentials)[k] = Name(k) != k ? (*potentials)[Name(k)] : (sum > 0 ? weighted / sum : 0);
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

// The circuit of devices g [rows, cols]: nodes w_ij and b_ij in turns, then drivers, then senses. Lines whose source is
// open hang free.
class DenseGrid {
 public:
  DenseGrid(const std::vector<double>& g, int64_t rows, int64_t cols, const Wires& wires,
            const std::vector<bool>& word_open = {}, const std::vector<bool>& bit_open = {})
      : rows_(static_cast<size_t>(rows)), cols_(static_cast<size_t>(cols)), network_(senses() + cols_) {
    const auto open = [](const std::vector<bool>& lines, size_t k) { return !lines.empty() && lines[k]; };
    for (size_t i = 0; i < rows_; ++i) {
      if (!open(word_open, i)) {
        network_.Wire(drivers() + i, word(i, 0), wires.source);
        if (wires.drive_both) network_.Wire(drivers() + i, word(i, cols_ - 1), wires.source);
      }
      for (size_t j = 0; j < cols_; ++j) {
        network_.Device(word(i, j), bit(i, j), g[i * cols_ + j]);
        if (j > 0) network_.Wire(word(i, j - 1), word(i, j), wires.word);
        if (i > 0) network_.Wire(bit(i - 1, j), bit(i, j), wires.bit);
      }
    }
    for (size_t j = 0; j < cols_; ++j) {
      if (open(bit_open, j)) continue;
      network_.Wire(bit(rows_ - 1, j), senses() + j, wires.load);
      if (wires.sense_both) network_.Wire(bit(0, j), senses() + j, wires.load);
    }
    network_.Eliminate(drivers());
  }

  size_t word(size_t i, size_t j) const { return 2 * (i * cols_ + j); }
  size_t bit(size_t i, size_t j) const { return 2 * (i * cols_ + j) + 1; }

  // [rows, cols]
  std::vector<long double> Effective() const {
    std::vector<long double> effective;
    for (size_t i = 0; i < rows_; ++i) {
      for (size_t j = 0; j < cols_; ++j) effective.push_back(network_.Between(drivers() + i, senses() + j));
    }
    return effective;
  }

  // By node, for word lines driven at word_volts [rows] and senses at bit_volts [cols].
  std::vector<long double> Potentials(const std::vector<double>& word_volts,
                                      const std::vector<double>& bit_volts) const {
    std::vector<long double> potentials(senses() + cols_);
    for (size_t i = 0; i < rows_; ++i) potentials[drivers() + i] = word_volts[i];
    for (size_t j = 0; j < cols_; ++j) potentials[senses() + j] = bit_volts[j];
    network_.Substitute(drivers(), &potentials);
    return potentials;
  }

 private:
  size_t drivers() const { return 2 * rows_ * cols_; }
  size_t senses() const { return drivers() + rows_; }

  size_t rows_, cols_;
  DenseNetwork network_;
};

// The effective conductances [rows, cols] of devices g [rows, cols].
inline std::vector<long double> DenseEffective(const std::vector<double>& g, int64_t rows, int64_t cols,
                                               const Wires& wires) {
  return DenseGrid(g, rows, cols, wires).Effective();
}

}  // namespace memtorch::testing

#endif  // MEMTORCH_TESTS_CPP_TESTING_DENSE_GRID_H_
