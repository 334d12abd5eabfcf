// Arrays as they cross from Python: names for what the bindings accept, and the checks on shape and count.
//
// Arrays that are written are bound with nb::arg().noconvert(): nanobind would otherwise accept a strided or float32
// tensor by copying it, and the writes would be lost without a word. Checks here are about shape and dtype; values are
// checked by the engine.
#ifndef MEMTORCH_BINDINGS_ARRAYS_H_
#define MEMTORCH_BINDINGS_ARRAYS_H_

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include "engine/core.h"

namespace memtorch {

namespace nb = nanobind;

// Contiguous CPU arrays of any shape, taken as [size].
template <class T>
using Flat = nb::ndarray<T, nb::c_contig, nb::device::cpu>;
// The same, of a dtype that is looked at when called.
using AnyFlat = nb::ndarray<nb::c_contig, nb::device::cpu>;
// The same on the CPU or a GPU; bindings/place.h says which.
template <class T>
using Placed = nb::ndarray<T, nb::c_contig>;
using AnyPlaced = nb::ndarray<nb::c_contig>;

template <class Array>
void CheckSize(const char* op, const char* name, const Array& array, int64_t size) {
  if (static_cast<int64_t>(array.size()) != size) {
    Invalid(op, name, " must hold ", size, " elements, got ", array.size());
  }
}

// Calls body with a value of the array's element type, float or double.
template <class Array, class Body>
void WithFloatType(const char* op, const char* name, const Array& array, Body&& body) {
  if (array.dtype() == nb::dtype<float>()) return body(float{});
  if (array.dtype() == nb::dtype<double>()) return body(double{});
  Invalid(op, name, " must be float32 or float64");
}

}  // namespace memtorch

#endif  // MEMTORCH_BINDINGS_ARRAYS_H_
