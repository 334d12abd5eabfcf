#include "engine/read_kernels.h"

namespace memtorch {
namespace MT_ISA {
namespace {

// A block of the result that stays in registers: inputs x columns.
constexpr int kInputs = 4;
template <class T>
constexpr int kCols = 128 / sizeof(T);

// Block [Inputs, cols] of the result from (input, col); cols = kCols unless at the edge.
template <int Inputs, bool kFull, class T>
void Block(const TileProduct<T>& p, int64_t input, int64_t col, int64_t rest) {
  T sum[Inputs][kCols<T>] = {};
  const int64_t cols = kFull ? kCols<T> : rest;
  for (int64_t r = 0; r < p.rows; ++r) {
    const float* pos = p.g_pos + r * p.g_stride + col;
    const float* neg = p.g_neg == nullptr ? nullptr : p.g_neg + r * p.g_stride + col;
    T g[kCols<T>];
    if (neg == nullptr) {
#pragma omp simd
      for (int64_t c = 0; c < cols; ++c) g[c] = static_cast<T>(pos[c]);
    } else {
#pragma omp simd
      for (int64_t c = 0; c < cols; ++c) g[c] = static_cast<T>(pos[c]) - static_cast<T>(neg[c]);
    }
    for (int b = 0; b < Inputs; ++b) {
      const T v = p.v[(input + b) * p.v_stride + r];
#pragma omp simd
      for (int64_t c = 0; c < cols; ++c) sum[b][c] += v * g[c];
    }
  }
  for (int b = 0; b < Inputs; ++b) {
    T* out = p.out + (input + b) * p.out_stride + col;
    for (int64_t c = 0; c < cols; ++c) out[c] = sum[b][c];
  }
}

template <int Inputs, class T>
void Columns(const TileProduct<T>& p, int64_t input) {
  int64_t col = 0;
  for (; col + kCols<T> <= p.cols; col += kCols<T>) Block<Inputs, true>(p, input, col, 0);
  if (col < p.cols) Block<Inputs, false>(p, input, col, p.cols - col);
}

template <class T>
void Multiply(const TileProduct<T>& p) {
  int64_t input = 0;
  for (; input + kInputs <= p.inputs; input += kInputs) Columns<kInputs>(p, input);
  for (; input < p.inputs; ++input) Columns<1>(p, input);
}

}  // namespace

const ReadKernels<float> kReadFloat = {Multiply<float>};
const ReadKernels<double> kReadDouble = {Multiply<double>};

}  // namespace MT_ISA
}  // namespace memtorch
