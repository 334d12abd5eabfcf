// The vector of the instruction set that a kernel file is compiled for.
#ifndef MEMTORCH_ENGINE_GRID_VECTOR_H_
#define MEMTORCH_ENGINE_GRID_VECTOR_H_

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

// 1 / sum, or 0 for a node that nothing is connected to: it simply goes. Wires are at least 1 / kMaxWireOhm, so that a
// sum below this is a sum of zeros.
template <class T>
constexpr T kNothing = T(1e-35);

}  // namespace MT_ISA
}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_GRID_VECTOR_H_
