#include "engine/grid/node_kernels.h"

#include "engine/grid/grid.h"
#include "engine/grid/word_bands.h"

namespace memtorch {
namespace MT_ISA {
namespace {

using V = NodeVector;
constexpr int kWide = kNodesWide;

MT_HD V Magnitude(V v) {
  typedef MaskOf<double>::Type Bits;
  return (V)((Bits)v & (INT64_MAX - Bits{}));
}
MT_HD V Larger(V a, V b) { return a > b ? a : b; }  // NaN in a is lost, in b it stays
MT_HD double Largest(V v) {
  double largest = v[0];
  for (int l = 1; l < kWide; ++l) largest = v[l] <= largest ? largest : v[l];
  return largest;
}

// The parts of the scratch: nodes of the bands, after what SolveBands takes, [kNodeBands kWide, stride]; and [stride].
MT_HD double* BandOf(const Lines& lines) { return lines.scratch + kNodeBands * kWide * lines.stride; }
MT_HD double* CarryOf(const Lines& lines) { return lines.scratch + 2 * kNodeBands * kWide * lines.stride; }

// The sum of body(j) over kWide columns at a time: four sums, so that none waits for another.
template <class Body>
MT_HD V SumOver(int64_t stride, const Body& body) {
  V sums[4] = {};
  int64_t j = 0;
  for (; j + 3 * kWide < stride; j += 4 * kWide) {
#pragma GCC unroll 16
    for (int k = 0; k < 4; ++k) sums[k] += body(j + k * kWide);
  }
  for (; j < stride; j += kWide) sums[0] += body(j);
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

MT_HD void Clear(double* values, int64_t n) {
  for (int64_t k = 0; k < n; k += kWide) *AsVector(values + k) = V{};
}

void FactorBit(const Lines& lines) {
  const int64_t stride = lines.stride, last = (lines.rows - 1) * stride;
  double* beyond = CarryOf(lines);
  for (int64_t j = 0; j < stride; j += kWide) *AsVector(beyond + j) = *AsVector(lines.top + j);
  for (int64_t i = 0; i < last; i += stride) {
    for (int64_t j = 0; j < stride; j += kWide) {
      *AsVector(lines.bit_ratio + i + j) = Ratio(*AsVector(lines.g + i + j), AsVector(beyond + j), lines.bit);
    }
  }
  for (int64_t j = 0; j < stride; j += kWide) {
    *AsVector(lines.bit_ratio + last + j) =
        LastRatio(*AsVector(lines.g + last + j), *AsVector(beyond + j), *AsVector(lines.load + j), lines.bit);
  }
}

void Factor(const Lines& lines) {
  FactorBit(lines);
  ForBandsDown(lines, [&](auto count, int64_t i) __attribute__((always_inline)) { FactorBands<count()>(lines, i); });
}

// What enters word lines at their ends.
struct NoSource {
  MT_HD V operator()(int64_t) const { return V{}; }
};
struct Source {
  const double *conductance, *volts;
  MT_HD V operator()(int64_t i) const {
    return volts == nullptr ? V{} : *AsVector(conductance + i) * *AsVector(volts + i);
  }
};

// The flow into kWide nodes of bit lines from column j of row i on, devices bringing `flow`.
MT_HD V IntoBit(const Lines& lines, const Inflow& in, int64_t i, int64_t j, V flow) {
  if (in.bit != nullptr) flow += *AsVector(in.bit + i * lines.stride + j);
  if (in.bit_volts == nullptr) return flow;
  if (i == 0) flow += *AsVector(lines.top + j) * *AsVector(in.bit_volts + j);
  if (i == lines.rows - 1) flow += *AsVector(lines.load + j) * *AsVector(in.bit_volts + j);
  return flow;
}

double Start(const Lines& grid, const Inflow& in, double* r, double* current) {
  const Lines lines = grid;
  const int64_t stride = lines.stride;
  const double inverse = 1 / lines.word;
  double* carry = CarryOf(lines);
  Clear(carry, stride);
  V product = {}, most = {};
  ForBandsDown(lines, [&](auto count, int64_t i) __attribute__((always_inline)) {
    SolveBands<count()>(
        lines, i, Source{lines.source, in.word_volts}, Source{lines.far, in.word_volts},
        [&](int k, int64_t j) __attribute__((always_inline)) {
          return in.word == nullptr ? V{} : *AsVector(in.word + (i + k) * stride + j);
        },
        [&](int k, int64_t j, V x) __attribute__((always_inline)) {
          const int64_t at = (i + k) * stride + j;
          const V flow = *AsVector(lines.g + at) * x * inverse;
          most = Larger(most, Magnitude(flow));
          *AsVector(r + at) = flow;
        });
    for (int64_t row = i; row < i + count() * kWide && row < lines.rows; ++row) {
      product += SumOver(stride, [&](int64_t j) __attribute__((always_inline)) {
        const int64_t at = row * stride + j;
        const V y = IntoBit(lines, in, row, j, *AsVector(r + at)) + *AsVector(carry + j);
        const V passed = y * *AsVector(lines.bit_ratio + at);
        *AsVector(r + at) = y;
        *AsVector(carry + j) = passed;
        return y * passed;
      });
    }
  });
  *current = Largest(most);
  return Total<double>(product) / lines.bit;
}

double Turn(const Lines& grid, double ratio, const double* r, double* p, double* t, double* change) {
  const Lines lines = grid;
  const int64_t stride = lines.stride;
  double* band = BandOf(lines);
  double* carry = CarryOf(lines);
  Clear(carry, stride);
  V squares = {}, products[4] = {}, most = {};
  ForBandsUp(lines, [&](auto count, int64_t i) __attribute__((always_inline)) {
    for (int k = count() * kWide - 1; k >= 0; --k) {
      double* here = band + k * stride;
      const double* below = k + 1 < count() * kWide ? here + stride : carry;
      if (i + k >= lines.rows) {
        Clear(here, stride);
        continue;
      }
      squares += SumOver(stride, [&](int64_t j) __attribute__((always_inline)) {
        const int64_t at = (i + k) * stride + j;
        const V h = *AsVector(lines.bit_ratio + at);
        V next = *AsVector(r + at);
        if (ratio != 0) next += ratio * *AsVector(p + at);
        const V own = next * h, scaled = own + *AsVector(below + j) * h;
        *AsVector(p + at) = next;
        *AsVector(here + j) = scaled;
        return next * own;
      });
    }
    for (int64_t j = 0; j < stride; j += kWide) *AsVector(carry + j) = *AsVector(band + j);
    SolveBands<count()>(
        lines, i, NoSource(), NoSource(),
        [&](int k, int64_t j) __attribute__((always_inline)) {
          const V flow = *AsVector(lines.g + (i + k) * stride + j) * *AsVector(band + k * stride + j);
          if (ratio == 0) most = Larger(most, Magnitude(flow));
          return flow;
        },
        [&](int k, int64_t j, V x) __attribute__((always_inline)) {
          const int64_t at = (i + k) * stride + j;
          const V flow = *AsVector(lines.g + at) * x;
          *AsVector(t + at) = flow;
          products[k % 4] += *AsVector(band + k * stride + j) * flow;
        });
  });
  *change = Largest(most) / lines.bit;
  const V product = (products[0] + products[1]) + (products[2] + products[3]);
  return Total<double>(squares) / lines.bit - Total<double>(product) / lines.bit / lines.bit / lines.word;
}

double Advance(const Lines& grid, double step, const double* p, const double* t, double* x, double* r) {
  const Lines lines = grid;
  const int64_t stride = lines.stride;
  const double scale = 1 / lines.bit / lines.word;
  double* carry = CarryOf(lines);
  Clear(carry, stride);
  V product = {};
  for (int64_t i = 0; i < lines.rows; ++i) {
    product += SumOver(stride, [&](int64_t j) __attribute__((always_inline)) {
      const int64_t at = i * stride + j;
      const V h = *AsVector(lines.bit_ratio + at), direction = *AsVector(p + at);
      const V s = *AsVector(t + at) + *AsVector(carry + j);
      const V next = *AsVector(r + at) - step * (direction - scale * s);
      *AsVector(carry + j) = s * h;
      *AsVector(x + at) += step * direction;
      *AsVector(r + at) = next;
      return next * next * h;
    });
  }
  return Total<double>(product) / lines.bit;
}

void Word(const Lines& grid, const Inflow& in, const double* x, double* b, double* w) {
  const Lines lines = grid;
  const int64_t stride = lines.stride;
  const double from_bit = 1 / lines.bit, from_word = 1 / lines.word;
  double* carry = CarryOf(lines);
  Clear(carry, stride);
  ForBandsUp(lines, [&](auto count, int64_t i) __attribute__((always_inline)) {
    for (int64_t row = i + count() * kWide - 1; row >= i && x != nullptr; --row) {
      if (row >= lines.rows) continue;
      for (int64_t j = 0; j < stride; j += kWide) {
        const int64_t at = row * stride + j;
        const V scaled = (*AsVector(x + at) + *AsVector(carry + j)) * *AsVector(lines.bit_ratio + at);
        *AsVector(carry + j) = scaled;
        *AsVector(b + at) += scaled * from_bit;
      }
    }
    SolveBands<count()>(
        lines, i, Source{lines.source, in.word_volts}, Source{lines.far, in.word_volts},
        [&](int k, int64_t j) __attribute__((always_inline)) {
          const int64_t at = (i + k) * stride + j;
          const V flow = *AsVector(lines.g + at) * *AsVector(b + at);
          return in.word == nullptr ? flow : flow + *AsVector(in.word + at);
        },
        [&](int k, int64_t j, V solved)
            __attribute__((always_inline)) { *AsVector(w + (i + k) * stride + j) = solved * from_word; });
  });
}

BitLargest Bit(const Lines& grid, const Inflow& in, const double* w, double* b, double* change, double* flow) {
  const Lines lines = grid;
  const int64_t stride = lines.stride;
  const double from_bit = 1 / lines.bit;
  double* carry = CarryOf(lines);
  Clear(carry, stride);
  V most = {}, largest = {}, term = {}, sum = {};
  for (int64_t i = 0; i < lines.rows; ++i) {
    for (int64_t j = 0; j < stride; j += kWide) {
      const int64_t at = i * stride + j;
      const V from_word = *AsVector(lines.g + at) * *AsVector(w + at);
      const V s = IntoBit(lines, in, i, j, from_word) + *AsVector(carry + j);
      term = Larger(term, Magnitude(from_word));
      *AsVector(carry + j) = s * *AsVector(lines.bit_ratio + at);
      *AsVector(flow + at) = s;
    }
  }
  Clear(carry, stride);
  for (int64_t i = lines.rows - 1; i >= 0; --i) {
    for (int64_t j = 0; j < stride; j += kWide) {
      const int64_t at = i * stride + j;
      const V scaled = (*AsVector(flow + at) + *AsVector(carry + j)) * *AsVector(lines.bit_ratio + at);
      const V g = *AsVector(lines.g + at), next = scaled * from_bit;
      V through = g * (*AsVector(w + at) - next);
      if (in.bit != nullptr) through += *AsVector(in.bit + at);
      const V missing = g * (next - *AsVector(b + at));
      *AsVector(carry + j) = scaled;
      *AsVector(b + at) = next;
      *AsVector(change + at) = missing;
      *AsVector(flow + at) = through;
      most = Larger(most, Magnitude(missing));
      largest = Larger(largest, Magnitude(through));
      sum += through;
    }
  }
  const double current = Largest(largest);
  // NaN anywhere stays NaN.
  return {Largest(most) + 0 * Total<double>(sum), current, Largest(Larger(largest, term))};
}

MT_HD void AddTo(double* to, double part, const double* from) { *AsVector(to) += part * *AsVector(from); }

void Move(int64_t n, double part, const NodeState& change, const NodeState& state, double* v) {
  for (int64_t k = 0; k < n; k += kWide) {
    if (part == 1) {
      const V missing = *AsVector(state.bring + k) - *AsVector(state.take + k);
      *AsVector(change.bring + k) += *AsVector(change.take + k) - missing;
    }
    if (part != 0) {
      AddTo(state.w + k, part, change.w + k);
      AddTo(state.b + k, part, change.b + k);
      AddTo(state.bring + k, part, change.bring + k);
      AddTo(state.take + k, part, change.take + k);
    }
    *AsVector(v + k) = *AsVector(state.w + k) - *AsVector(state.b + k);
  }
}

void Judge(int64_t n, const NodeState& state, const double* v, const double* current, double* slope, double* into_word,
           double* into_bit, NodeSums* sums) {
  V most = sums->lacking - V{}, largest = sums->largest - V{}, squares = {};
  for (int64_t k = 0; k < n; k += kWide) {
    const V through = *AsVector(current + k);
    V g = *AsVector(slope + k);
    if (v != nullptr) {
      const V across = *AsVector(v + k);
      g = across != 0 ? through / (across != 0 ? across : 1 - V{}) : g;
    }
    const V word = *AsVector(state.bring + k) - through, bit = through - *AsVector(state.take + k);
    *AsVector(slope + k) = g >= 0 ? (g < kMaxSiemens ? g : kMaxSiemens - V{}) : V{};
    *AsVector(into_word + k) = word;
    *AsVector(into_bit + k) = bit;
    most = Larger(Larger(most, Magnitude(word)), Magnitude(bit));
    largest = Larger(largest, Magnitude(through));
    squares += word * word + bit * bit;
  }
  *sums = {Largest(most), Largest(largest), sums->squares + Total<double>(squares)};
}

}  // namespace

const NodeKernels kNodes = {kWide, Factor, Start, Turn, Advance, Word, Bit, Move, Judge};

}  // namespace MT_ISA
}  // namespace memtorch
