// The node potentials of a linear grid, found by one block of threads: engine/grid/linear_nodes.h on a GPU.
//
// The method, the sums that decide and the bounds on rounds are those of the CPU; engine/grid/node_kernels.h says what
// is solved. A thread goes along a bit line, then along a word line, in a matrix that is turned in between, so that
// neighbouring threads always touch neighbouring numbers.
#ifndef MEMTORCH_ENGINE_CUDA_LINEAR_NODES_H_
#define MEMTORCH_ENGINE_CUDA_LINEAR_NODES_H_

#include "engine/cuda/block_lines.h"
#include "engine/grid/grid.h"
#include "engine/grid/node_kernels.h"
#include "engine/math.h"

namespace memtorch::cuda {

// A circuit. Arrays of nodes are [rows, cols]; `turned` ones are [cols, rows], the last column first, so that either
// kind of line is eliminated from row 0, its open end, to the last.
struct NodeLines {
  int64_t rows, cols;
  double word, bit, source, load;  // siemens
  bool drive_both, sense_both;
  const bool* word_open;  // [rows], null: none
  const bool* bit_open;   // [cols], null: none
  const double* g;        // devices [rows, stride]
  int64_t stride;
  double* bit_ratio;   // of a segment to the pivot
  double* word_ratio;  // likewise, turned

  MT_HD double Source(int64_t i) const { return word_open != nullptr && word_open[i] ? 0 : source; }
  MT_HD double Far(int64_t i) const { return drive_both ? Source(i) : 0; }
  MT_HD double Load(int64_t j) const { return bit_open != nullptr && bit_open[j] ? 0 : load; }
  MT_HD double Top(int64_t j) const { return sense_both ? Load(j) : 0; }
  MT_HD int64_t nodes() const { return rows * cols; }
  // With devices [rows, cols] without gaps, and room for ratios.
  MT_HD NodeLines With(const double* devices, double* bit_ratios, double* word_ratios) const {
    NodeLines lines = *this;
    lines.g = devices;
    lines.stride = cols;
    lines.bit_ratio = bit_ratios;
    lines.word_ratio = word_ratios;
    return lines;
  }
  MT_HD int64_t Turned(int64_t i, int64_t j) const { return (cols - 1 - j) * rows + i; }
};

// A pivot below this is of a line that nothing is connected to: it stays at 0 V.
constexpr double kNoSiemens = 1e-35;

// Ratios of line `line` of `lines`, [length, lines], whose devices are load(k): nothing is subtracted, pivots are sums
// from the open end on.
template <class Load>
MT_HD void FactorLine(int64_t lines, int64_t length, int64_t line, double segment, double open_end, double end,
                      const Load& load, double* ratio) {
  double beyond = open_end;
  Walk(length, load, [&](int64_t k, double g) {
    const double here = g + beyond;
    if (k + 1 < length) {
      ratio[k * lines + line] = segment / (here + segment);
      beyond = here * ratio[k * lines + line];
    } else {
      const double pivot = here + end;
      ratio[k * lines + line] = pivot > kNoSiemens ? segment / pivot : 0;
    }
  });
}

// Fills the ratios from g.
MT_HD void FactorNodes(const Block& block, const NodeLines& lines) {
  const int64_t rows = lines.rows, cols = lines.cols;
  block.Each(static_cast<int>(cols), [&](int j) {
    FactorLine(
        cols, rows, j, lines.bit, lines.Top(j), lines.Load(j), [&](int64_t i) { return lines.g[i * lines.stride + j]; },
        lines.bit_ratio);
  });
  Turn<NoTotal>(
      block, rows, cols, [&](int64_t i, int64_t j) { return lines.g[i * lines.stride + j]; },
      [&](int64_t i, int64_t j, double g, NoTotal*) { lines.word_ratio[lines.Turned(i, j)] = g; });
  block.Each(static_cast<int>(rows), [&](int i) {
    FactorLine(
        rows, cols, i, lines.word, lines.Far(i), lines.Source(i),
        [&](int64_t k) { return lines.word_ratio[k * rows + i]; }, lines.word_ratio);
  });
}

// Memory of one solution, arrays of nodes.
struct LinearArrays {
  double* b;  // potentials of bit nodes
  double *r, *p, *t, *x;
  double* y;  // turned
};

class LinearNodes {
 public:
  // `lines` must be factored before anything is solved.
  MT_HD LinearNodes(const Block& block, const NodeLines& lines, const LinearArrays& arrays)
      : block_(block), lines_(lines), arrays_(arrays) {}

  // Solves under `in`: as LinearNodes::Solve on the CPU.
  MT_HD double Solve(const Inflow& in, bool warm, double scale, double tolerance) {
    constexpr int kRounds = 8;  // the first of them of a warm start looks how far it is
    most_ = {};
    if (!warm) {
      block_.Each(block_.threads(), [&](int thread) {
        for (int64_t k = thread; k < lines_.nodes(); k += block_.threads()) arrays_.b[k] = 0;
      });
    }
    Inflow missing = in;
    double lacking = 0;
    for (int round = 0; round < kRounds && (round == 0 || lacking > tolerance); ++round) {
      const bool search = !warm || round > 0;
      if (search) Search(missing, scale, tolerance);
      Settle(in, search);
      // Written so that NaN is not taken for 0.
      lacking = most_.lacking == 0 ? 0 : most_.lacking / (scale > 0 ? scale : most_.current);
      missing = {change(), nullptr, nullptr, nullptr};
    }
    return lacking;
  }
  MT_HD BitLargest largest() const { return {most_.lacking, most_.current, LargerOrNaN(most_.current, most_.term)}; }

  // After Solve, arrays of nodes: potentials; amperes that word nodes lack, and those through the devices with in.bit.
  MT_HD double* b() const { return arrays_.b; }
  MT_HD double* w() const { return arrays_.p; }
  MT_HD double* change() const { return arrays_.r; }
  MT_HD double* flow() const { return arrays_.t; }

 private:
  struct Pair {
    double a, b;
  };
  struct Four {
    double a, b, c, d;
  };
  struct Most {
    double lacking = 0, current = 0, term = 0;
    MT_HD void Add(const Most& other) {
      lacking = LargerOrNaN(lacking, other.lacking);
      current = LargerOrNaN(current, other.current);
      term = LargerOrNaN(term, other.term);
    }
  };

  // Conjugate gradients for the change x of b that the flows `missing` ask for.
  MT_HD void Search(const Inflow& missing, double scale, double tolerance) {
    constexpr double kMargin = 0.1;       // of the tolerance, at which they end
    constexpr double kLeastPart = 1e-15;  // of what they start with, that they may hope to leave
    double guess = 0;
    double product = Start(missing, &guess);
    if (most_.current > 0) guess = most_.current;
    const double goal = kMargin * tolerance * (scale > 0 ? scale : guess);
    const int64_t most = 20 * (lines_.rows + lines_.cols) + 100;
    double before = 1, least = 0;
    for (int64_t k = 0; k < most && product > least; ++k) {
      double change_of_b = 0;
      const double curvature = Direct(k == 0, product / before, &change_of_b);
      if (k == 0) {
        // A bit line solved once more would change by L'^-1 D^-1 r, as here at first: in the square root of the product.
        const double part = Max(goal / change_of_b, kLeastPart);
        least = product * part * part;
      }
      if (!(curvature > 0) || !(product > least)) return;
      before = product;
      product = Advance(product / curvature);
    }
  }

  // y = W^-1 y with `volts` at the drivers (null: 0 V), times lines.word.
  MT_HD void SolveWords(const double* volts) {
    const int64_t rows = lines_.rows, cols = lines_.cols;
    double* y = arrays_.y;
    const double* ratio = lines_.word_ratio;
    block_.Each(static_cast<int>(rows), [&](int i) {
      const auto load = [&](int64_t k) { return Pair{y[k * rows + i], ratio[k * rows + i]}; };
      double carry = volts == nullptr ? 0 : lines_.Far(i) * volts[i];
      Walk(cols, load, [&](int64_t k, const Pair& at) {
        double s = at.a + carry;
        if (k + 1 == cols && volts != nullptr) s += lines_.Source(i) * volts[i];
        carry = s * at.b;
        y[k * rows + i] = s;
      });
      carry = 0;
      WalkBack(cols, load, [&](int64_t k, const Pair& at) {
        carry = (at.a + carry) * at.b;
        y[k * rows + i] = carry;
      });
    });
  }

  // What the senses bring into row i of bit line j.
  MT_HD double FromSenses(const double* volts, int64_t i, int64_t j) const {
    if (volts == nullptr) return 0;
    double flow = 0;
    if (i == 0) flow += lines_.Top(j) * volts[j];
    if (i == lines_.rows - 1) flow += lines_.Load(j) * volts[j];
    return flow;
  }

  // r = L^-1 (flow into bit nodes + g W^-1 flow into word nodes), what potentials b of 0 leave; x = 0. Returns r D^-1 r,
  // and the largest |g w|.
  MT_HD double Start(const Inflow& in, double* current) {
    const int64_t rows = lines_.rows, cols = lines_.cols;
    double *r = arrays_.r, *x = arrays_.x, *y = arrays_.y;
    Turn<NoTotal>(
        block_, rows, cols, [&](int64_t i, int64_t j) { return in.word == nullptr ? 0 : in.word[i * cols + j]; },
        [&](int64_t i, int64_t j, double flow, NoTotal*) { y[lines_.Turned(i, j)] = flow; });
    SolveWords(in.word_volts);
    const double inverse = 1 / lines_.word;
    *current = Turn<Largest>(
                   block_, cols, rows, [&](int64_t j, int64_t i) { return y[lines_.Turned(i, j)]; },
                   [&](int64_t j, int64_t i, double w, Largest* most) {
                     const double flow = lines_.g[i * lines_.stride + j] * w * inverse;
                     most->Add({Abs(flow)});
                     r[i * cols + j] = flow;
                   })
                   .value;
    const Sum product = Over<Sum>(block_, cols, [&](int64_t j, Sum* sum) {
      double carry = 0;
      Walk(
          rows,
          [&](int64_t i) {
            const int64_t at = i * cols + j;
            return Four{r[at], lines_.bit_ratio[at], in.bit == nullptr ? 0 : in.bit[at], 0};
          },
          [&](int64_t i, const Four& at) {
            const double s = at.a + at.c + FromSenses(in.bit_volts, i, j) + carry;
            carry = s * at.b;
            r[i * cols + j] = s;
            x[i * cols + j] = 0;
            sum->value += s * carry;
          });
    });
    return product.value / lines_.bit;
  }

  // p = r + ratio p, with b = L'^-1 D^-1 p: t = g W^-1 g b, scaled. Returns p D^-1 p - b t, and the largest |g b|.
  MT_HD double Direct(bool first, double ratio, double* change) {
    const int64_t rows = lines_.rows, cols = lines_.cols;
    double *p = arrays_.p, *t = arrays_.t, *y = arrays_.y;
    const double* r = arrays_.r;
    const Sum squares = Over<Sum>(block_, cols, [&](int64_t j, Sum* sum) {
      double below = 0;
      WalkBack(
          rows,
          [&](int64_t i) {
            const int64_t at = i * cols + j;
            return Four{r[at], lines_.bit_ratio[at], first ? 0 : p[at], 0};
          },
          [&](int64_t i, const Four& at) {
            const double next = at.a + (first ? 0 : ratio * at.c);
            const double own = next * at.b;
            below = own + below * at.b;
            p[i * cols + j] = next;
            t[i * cols + j] = below;
            sum->value += next * own;
          });
    });
    const Largest most = Turn<Largest>(
        block_, rows, cols, [&](int64_t i, int64_t j) { return lines_.g[i * lines_.stride + j] * t[i * cols + j]; },
        [&](int64_t i, int64_t j, double flow, Largest* largest) {
          largest->Add({Abs(flow)});
          y[lines_.Turned(i, j)] = flow;
        });
    SolveWords(nullptr);
    const Sum product = Turn<Sum>(
        block_, cols, rows, [&](int64_t j, int64_t i) { return y[lines_.Turned(i, j)]; },
        [&](int64_t j, int64_t i, double w, Sum* sum) {
          const int64_t at = i * cols + j;
          const double flow = lines_.g[i * lines_.stride + j] * w;
          sum->value += t[at] * flow;
          t[at] = flow;
        });
    *change = most.value / lines_.bit;
    return squares.value / lines_.bit - product.value / lines_.bit / lines_.bit / lines_.word;
  }

  // x += step p, r -= step (p - L^-1 t). Returns r D^-1 r.
  MT_HD double Advance(double step) {
    const int64_t rows = lines_.rows, cols = lines_.cols;
    double *r = arrays_.r, *x = arrays_.x;
    const double *p = arrays_.p, *t = arrays_.t;
    const double scale = 1 / lines_.bit / lines_.word;
    const Sum product = Over<Sum>(block_, cols, [&](int64_t j, Sum* sum) {
      double carry = 0;
      struct Node {
        double r, p, t, x, ratio;
      };
      Walk(
          rows,
          [&](int64_t i) {
            const int64_t at = i * cols + j;
            return Node{r[at], p[at], t[at], x[at], lines_.bit_ratio[at]};
          },
          [&](int64_t i, const Node& at) {
            const double s = at.t + carry;
            const double next = at.r - step * (at.p - scale * s);
            carry = s * at.ratio;
            x[i * cols + j] = at.x + step * at.p;
            r[i * cols + j] = next;
            sum->value += next * next * at.ratio;
          });
    });
    return product.value / lines_.bit;
  }

  // Adds the change x (if there is one) to b, then solves all word lines, then all bit lines, exactly.
  MT_HD void Settle(const Inflow& in, bool add) {
    const int64_t rows = lines_.rows, cols = lines_.cols;
    const double from_bit = 1 / lines_.bit, from_word = 1 / lines_.word;
    double *b = arrays_.b, *x = arrays_.x, *y = arrays_.y, *solved = w(), *missing = change(), *through = flow();
    if (add) {
      block_.Each(static_cast<int>(cols), [&](int j) {
        double carry = 0;
        WalkBack(
            rows,
            [&](int64_t i) {
              const int64_t at = i * cols + j;
              return Four{x[at], lines_.bit_ratio[at], b[at], 0};
            },
            [&](int64_t i, const Four& at) {
              carry = (at.a + carry) * at.b;
              b[i * cols + j] = at.c + carry * from_bit;
            });
      });
    }
    Turn<NoTotal>(
        block_, rows, cols,
        [&](int64_t i, int64_t j) {
          const int64_t at = i * cols + j;
          return lines_.g[i * lines_.stride + j] * b[at] + (in.word == nullptr ? 0 : in.word[at]);
        },
        [&](int64_t i, int64_t j, double flow, NoTotal*) { y[lines_.Turned(i, j)] = flow; });
    SolveWords(in.word_volts);
    Turn<NoTotal>(
        block_, cols, rows, [&](int64_t j, int64_t i) { return y[lines_.Turned(i, j)]; },
        [&](int64_t j, int64_t i, double w, NoTotal*) { solved[i * cols + j] = w * from_word; });
    most_ = Over<Most>(block_, cols, [&](int64_t j, Most* most) {
      double carry = 0;
      Walk(
          rows,
          [&](int64_t i) {
            const int64_t at = i * cols + j;
            return Four{lines_.g[i * lines_.stride + j] * solved[at], lines_.bit_ratio[at],
                        in.bit == nullptr ? 0 : in.bit[at], 0};
          },
          [&](int64_t i, const Four& at) {
            const double s = at.a + at.c + FromSenses(in.bit_volts, i, j) + carry;
            most->term = LargerOrNaN(most->term, Abs(at.a));
            carry = s * at.b;
            through[i * cols + j] = s;
          });
      carry = 0;
      struct Node {
        double s, ratio, g, w, b, in;
      };
      WalkBack(
          rows,
          [&](int64_t i) {
            const int64_t at = i * cols + j;
            return Node{through[at],
                        lines_.bit_ratio[at],
                        lines_.g[i * lines_.stride + j],
                        solved[at],
                        b[at],
                        in.bit == nullptr ? 0 : in.bit[at]};
          },
          [&](int64_t i, const Node& at) {
            carry = (at.s + carry) * at.ratio;
            const int64_t k = i * cols + j;
            const double next = carry * from_bit;
            b[k] = next;
            missing[k] = at.g * (next - at.b);
            through[k] = at.g * (at.w - next) + at.in;
            most->lacking = LargerOrNaN(most->lacking, Abs(missing[k]));
            most->current = LargerOrNaN(most->current, Abs(through[k]));
          });
    });
  }

  const Block block_;
  const NodeLines& lines_;
  const LinearArrays arrays_;
  Most most_;
};

}  // namespace memtorch::cuda

#endif  // MEMTORCH_ENGINE_CUDA_LINEAR_NODES_H_
