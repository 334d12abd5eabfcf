// The vector of the instruction set that a kernel file is compiled for.
#ifndef MEMTORCH_ENGINE_GRID_VECTOR_H_
#define MEMTORCH_ENGINE_GRID_VECTOR_H_

#include <type_traits>
#include <utility>

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

template <class T>
constexpr int kLanes = kVectorBytes / sizeof(T);

// Arithmetic on it is element by element; `may_alias` lets it lie over arrays of its elements.
template <class T, int kCount>
struct VectorOf {
  typedef T Type __attribute__((vector_size(kCount * sizeof(T)), may_alias));
};
template <class T, int kCount = kLanes<T>>
using Vector = typename VectorOf<T, kCount>::Type;

// The same in memory that is aligned for T only.
template <class T>
struct LooseVectorOf {
  typedef T Type __attribute__((vector_size(kVectorBytes), aligned(alignof(T)), may_alias));
};

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
template <class T>
MT_HD void StoreLoose(Vector<T> value, T* data) {
  *reinterpret_cast<typename LooseVectorOf<T>::Type*>(data) = value;
}

// 1 / sum, or 0 for a node that nothing is connected to: it simply goes. Wires are at least 1 / kMaxWireOhm, so that a
// sum below this is a sum of zeros.
template <class T>
constexpr T kNothing = T(1e-35);

// Index vectors, built from constants alone, so that the compiler keeps them as constants.
template <class T, int kCount = kLanes<T>>
struct MaskOf {
  typedef std::conditional_t<sizeof(T) == 8, int64_t, int32_t> Index;
  typedef Index Type __attribute__((vector_size(kCount * sizeof(T))));
  using Lanes = std::make_integer_sequence<Index, kCount>;

  // 0, 1, 2 ...
  template <Index... kLane>
  MT_HD static Type Count(std::integer_sequence<Index, kLane...>) {
    return Type{kLane...};
  }
  // Lanes that change places with those `kDistance` away.
  template <int kDistance, Index... kLane>
  MT_HD static Type Swapped(std::integer_sequence<Index, kLane...>) {
    return Type{(kLane ^ kDistance)...};
  }
  // Of two vectors: those that hold, after squares of kDistance elements changed places, the first or the second one.
  template <int kDistance, int kHigh, Index... kLane>
  MT_HD static Type Exchanged(std::integer_sequence<Index, kLane...>) {
    return Type{((kLane & kDistance) == 0 ? kLane + kHigh : kLane - kDistance + kCount + kHigh)...};
  }
};

// True in the lanes from `first` on.
template <class T>
MT_HD typename MaskOf<T>::Type From(int64_t first) {
  using Mask = MaskOf<T>;
  return Mask::Count(typename Mask::Lanes()) >= static_cast<typename Mask::Index>(first);
}

template <class T, int kCount, int kDistance>
MT_HD void TransposeRounds(Vector<T, kCount>* v) {
  if constexpr (kDistance < kCount) {
    using Mask = MaskOf<T, kCount>;
    const auto low = Mask::template Exchanged<kDistance, 0>(typename Mask::Lanes());
    const auto high = Mask::template Exchanged<kDistance, kDistance>(typename Mask::Lanes());
#pragma GCC unroll 16
    for (int i = 0; i < kCount; ++i) {
      if ((i & kDistance) != 0) continue;
      const Vector<T, kCount> a = v[i], b = v[i + kDistance];
      v[i] = __builtin_shuffle(a, b, low);
      v[i + kDistance] = __builtin_shuffle(a, b, high);
    }
    TransposeRounds<T, kCount, 2 * kDistance>(v);
  }
}

// Transposes a square of vectors, squares of half the size changing places in each round.
template <class T, int kCount = kLanes<T>>
MT_HD void Transpose(Vector<T, kCount>* v) {
  TransposeRounds<T, kCount, 1>(v);
}

template <class T, int kDistance>
MT_HD Vector<T> AddHalves(Vector<T> v) {
  if constexpr (kDistance == 0) {
    return v;
  } else {
    using Mask = MaskOf<T>;
    const auto swapped = Mask::template Swapped<kDistance>(typename Mask::Lanes());
    return AddHalves<T, kDistance / 2>(v + __builtin_shuffle(v, swapped));
  }
}

// The sum over the lanes.
template <class T>
MT_HD T Total(Vector<T> v) {
  return AddHalves<T, kLanes<T> / 2>(v)[0];
}

}  // namespace MT_ISA
}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_GRID_VECTOR_H_
