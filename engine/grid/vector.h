// The vector of the instruction set that a kernel file is compiled for.
#ifndef MEMTORCH_ENGINE_GRID_VECTOR_H_
#define MEMTORCH_ENGINE_GRID_VECTOR_H_

#include <type_traits>

#include "engine/core.h"

namespace memtorch {
namespace MT_ISA {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

// Arithmetic on it is element by element; `may_alias` lets it lie over arrays of its elements.
template <class T>
struct VectorOf {
  typedef T Type __attribute__((vector_size(kVectorBytes), may_alias));
};
template <class T>
using Vector = typename VectorOf<T>::Type;

// The same in memory that is aligned for T only.
template <class T>
struct LooseVectorOf {
  typedef T Type __attribute__((vector_size(kVectorBytes), aligned(alignof(T)), may_alias));
};

template <class T>
constexpr int kLanes = kVectorBytes / sizeof(T);

template <class T>
MT_HD Vector<T>* AsVector(T* data) {
  return reinterpret_cast<Vector<T>*>(data);
}
template <class T>
MT_HD const Vector<T>* AsVector(const T* data) {
  return reinterpret_cast<const Vector<T>*>(data);
}

template <class T>
MT_HD Vector<T> LoadLoose(const T* data) {
  return *reinterpret_cast<const typename LooseVectorOf<T>::Type*>(data);
}

// 1 / sum, or 0 for a node that nothing is connected to: it simply goes. Wires are at least 1 / kMaxWireOhm, so that a
// sum below this is a sum of zeros.
template <class T>
constexpr T kNothing = T(1e-35);

// Indices for __builtin_shuffle of two vectors of kLanes elements that swap squares of `distance` elements.
template <class T>
struct MaskOf {
  typedef std::conditional_t<sizeof(T) == 8, int64_t, int32_t> Index;
  typedef Index Type __attribute__((vector_size(kVectorBytes)));

  MT_HD static Type Swap(int distance, bool high) {
    Type mask;
    for (int l = 0; l < kLanes<T>; ++l) {
      const int from = (l & distance) == 0 ? l : l - distance + kLanes<T>;
      mask[l] = static_cast<Index>(high ? from + distance : from);
    }
    return mask;
  }
};

// Transposes a square of vectors, squares of half the size changing places in each round.
template <class T>
MT_HD void Transpose(Vector<T>* v) {
  using Mask = MaskOf<T>;
#pragma GCC unroll 4
  for (int distance = 1; distance < kLanes<T>; distance *= 2) {
    const typename Mask::Type low = Mask::Swap(distance, false), high = Mask::Swap(distance, true);
#pragma GCC unroll 16
    for (int i = 0; i < kLanes<T>; ++i) {
      if ((i & distance) != 0) continue;
      const Vector<T> a = v[i], b = v[i + distance];
      v[i] = __builtin_shuffle(a, b, low);
      v[i + distance] = __builtin_shuffle(a, b, high);
    }
  }
}

}  // namespace MT_ISA
}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_GRID_VECTOR_H_
