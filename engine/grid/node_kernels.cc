#include "engine/grid/node_kernels.h"

#include "engine/grid/vector.h"

namespace memtorch {
namespace MT_ISA {
namespace {

using V = Vector<double>;
constexpr int kWide = kLanes<double>;

MT_HD int64_t RoundUp(int64_t n) { return (n + kWide - 1) / kWide * kWide; }

MT_HD V InverseOf(V pivot) {
  const V some = pivot > kNothing<double> ? pivot : kNothing<double> - V{};
  return pivot > kNothing<double> ? 1 / some : V{};
}

// Rows of nodes, load(r, j) being kWide of row r from column j, to line [stride, kWide].
template <class Load>
MT_HD void IntoLanes(int64_t stride, double* line, const Load& load) {
  for (int64_t j = 0; j < stride; j += kWide) {
    V square[kWide];
    for (int r = 0; r < kWide; ++r) square[r] = load(r, j);
    Transpose<double>(square);
    for (int k = 0; k < kWide; ++k) AsVector(line)[j + k] = square[k];
  }
}

// The elimination of one node: what lies towards the open end leaves `beyond`, the next segment is `towards`.
MT_HD V Pivot(V g, V* beyond, V towards) {
  const V here = g + *beyond;
  const V inverse = InverseOf(here + towards);
  *beyond = here * inverse * towards;
  return inverse;
}

// Nothing is subtracted, as in the joining of blocks: pivots are sums from the open end on.
void Factor(const Lines& lines) {
  const int64_t stride = lines.stride;
  for (int64_t j = 0; j < stride; j += kWide) {
    V beyond = *AsVector(lines.top + j);
    for (int64_t i = 0; i < lines.rows; ++i) {
      const V towards = i + 1 < lines.rows ? lines.bit - V{} : *AsVector(lines.load + j);
      *AsVector(lines.bit_inverse + i * stride + j) = Pivot(*AsVector(lines.g + i * stride + j), &beyond, towards);
    }
  }
  for (int64_t i = 0; i < RoundUp(lines.rows); i += kWide) {
    double* g = lines.g_lanes + i * stride;
    double* inverse = lines.word_inverse + i * stride;
    IntoLanes(stride, g, [&](int r, int64_t j) __attribute__((always_inline)) {
      return *AsVector(lines.g + (i + r) * stride + j);
    });
    V beyond = *AsVector(lines.far + i);
    for (int64_t j = lines.cols - 1; j >= 0; --j) {
      const V towards = j > 0 ? lines.word - V{} : *AsVector(lines.source + i);
      AsVector(inverse)[j] = Pivot(AsVector(g)[j], &beyond, towards);
    }
  }
}

// Solves kWide word lines whose right side stands in `line`, in place.
MT_HD void SolveWord(const Lines& lines, const double* inverse, double* line) {
  const V* pivots = AsVector(inverse);
  V* x = AsVector(line);
  V carry = {};
  for (int64_t j = lines.cols - 1; j >= 0; --j) {
    x[j] += carry;
    carry = x[j] * pivots[j] * lines.word;
  }
  V here = {};
  for (int64_t j = 0; j < lines.cols; ++j) {
    here = (x[j] + (j > 0 ? lines.word * here : V{})) * pivots[j];
    x[j] = here;
  }
}

void Word(const Lines& lines, const double* p, const double* v, const double* into, double* line, double* w) {
  const int64_t stride = lines.stride;
  for (int64_t i = 0; i < RoundUp(lines.rows); i += kWide) {
    V* x = AsVector(line);
    IntoLanes(stride, line, [&](int r, int64_t j) __attribute__((always_inline)) {
      const int64_t at = (i + r) * stride + j;
      const V flow = *AsVector(lines.g + at) * *AsVector(p + at);
      return into == nullptr ? flow : flow + *AsVector(into + at);
    });
    if (v != nullptr) {
      x[0] += *AsVector(lines.source + i) * *AsVector(v + i);
      x[lines.cols - 1] += *AsVector(lines.far + i) * *AsVector(v + i);
    }
    SolveWord(lines, lines.word_inverse + i * stride, line);
    for (int64_t j = 0; j < stride; j += kWide) {
      V square[kWide];
      for (int k = 0; k < kWide; ++k) square[k] = j + k < lines.cols ? x[j + k] : V{};
      Transpose<double>(square);
      for (int r = 0; r < kWide; ++r) *AsVector(w + (i + r) * stride + j) = square[r];
    }
  }
}

double Image(const Lines& lines, const double* p, const double* u, double* line, double* q) {
  const int64_t stride = lines.stride;
  V dot = {};
  for (int64_t i = 0; i < RoundUp(lines.rows); i += kWide) {
    const V* g = AsVector(lines.g_lanes + i * stride);
    V* x = AsVector(line);
    IntoLanes(stride, line, [&](int r, int64_t j) __attribute__((always_inline)) {
      const int64_t at = (i + r) * stride + j;
      return *AsVector(lines.g + at) * *AsVector(p + at);
    });
    SolveWord(lines, lines.word_inverse + i * stride, line);
    for (int64_t j = 0; j < stride; j += kWide) {
      V square[kWide];
      for (int k = 0; k < kWide; ++k) square[k] = g[j + k] * x[j + k];
      Transpose<double>(square);
      for (int r = 0; r < kWide; ++r) {
        const int64_t at = (i + r) * stride + j;
        const V value = *AsVector(u + at) - square[r];
        *AsVector(q + at) = value;
        dot += *AsVector(p + at) * value;
      }
    }
  }
  return Total<double>(dot);
}

double Bit(const Lines& lines, const double* r, const double* v, double* b) {
  const int64_t stride = lines.stride, last = lines.rows - 1;
  V dot = {};
  for (int64_t i = 0; i <= last; ++i) {
    for (int64_t j = 0; j < stride; j += kWide) {
      const int64_t at = i * stride + j;
      V y = *AsVector(r + at);
      if (v != nullptr && i == 0) y += *AsVector(lines.top + j) * *AsVector(v + j);
      if (v != nullptr && i == last) y += *AsVector(lines.load + j) * *AsVector(v + j);
      if (i > 0) y += *AsVector(b + at - stride) * *AsVector(lines.bit_inverse + at - stride) * lines.bit;
      *AsVector(b + at) = y;
    }
  }
  for (int64_t i = last; i >= 0; --i) {
    for (int64_t j = 0; j < stride; j += kWide) {
      const int64_t at = i * stride + j;
      V y = *AsVector(b + at);
      if (i < last) y += lines.bit * *AsVector(b + at + stride);
      y *= *AsVector(lines.bit_inverse + at);
      *AsVector(b + at) = y;
      dot += *AsVector(r + at) * y;
    }
  }
  return Total<double>(dot);
}

void Flow(const Lines& lines, const double* p, const double* into, double* r) {
  for (int64_t k = 0; k < lines.rows * lines.stride; k += kWide) {
    const V flow = *AsVector(lines.g + k) * *AsVector(p + k);
    *AsVector(r + k) = into == nullptr ? flow : flow + *AsVector(into + k);
  }
}

MT_HD V Magnitude(V v) { return v < 0 ? -v : v; }
MT_HD V Larger(V a, V b) { return a > b ? a : b; }  // NaN in a is lost, in b it stays
MT_HD double Largest(V v) {
  double largest = v[0];
  for (int l = 1; l < kWide; ++l) largest = v[l] <= largest ? largest : v[l];
  return largest;
}

void Change(const Lines& lines, const double* w, const double* b, const double* into, double* z, double* lacking,
            double* current) {
  V most = {}, largest = {};
  for (int64_t k = 0; k < lines.rows * lines.stride; k += kWide) {
    const V g = *AsVector(lines.g + k), now = *AsVector(b + k), change = now - *AsVector(z + k);
    const V flow = g * (*AsVector(w + k) - now);
    *AsVector(z + k) = change;
    most = Larger(most, Magnitude(g * change));
    largest = Larger(largest, Magnitude(into == nullptr ? flow : flow + *AsVector(into + k)));
  }
  *lacking = Largest(most);
  *current = Largest(largest);
}

void Blend(const Lines& lines, double part, const double* from, const double* to, double* out) {
  for (int64_t k = 0; k < lines.rows * lines.stride; k += kWide) {
    const V start = *AsVector(from + k);
    *AsVector(out + k) = start + part * (*AsVector(to + k) - start);
  }
}

void Chord(const Lines& lines, const double* current, const double* v, double* into, double* out_of) {
  for (int64_t k = 0; k < lines.rows * lines.stride; k += kWide) {
    const V rest = *AsVector(current + k) - *AsVector(lines.g + k) * *AsVector(v + k);
    *AsVector(into + k) = rest;
    *AsVector(out_of + k) = -rest;
  }
}

void Advance(const Lines& lines, double step, const double* p, const double* q, double* x, double* r) {
  for (int64_t k = 0; k < lines.rows * lines.stride; k += kWide) {
    *AsVector(x + k) += step * *AsVector(p + k);
    *AsVector(r + k) -= step * *AsVector(q + k);
  }
}

void Turn(const Lines& lines, double ratio, const double* z, const double* r, double* p, double* u) {
  for (int64_t k = 0; k < lines.rows * lines.stride; k += kWide) {
    *AsVector(p + k) = *AsVector(z + k) + ratio * *AsVector(p + k);
    *AsVector(u + k) = *AsVector(r + k) + ratio * *AsVector(u + k);
  }
}

}  // namespace

const NodeKernels kNodes = {kWide, Factor, Word, Image, Bit, Advance, Turn, Flow, Change, Blend, Chord};

}  // namespace MT_ISA
}  // namespace memtorch
