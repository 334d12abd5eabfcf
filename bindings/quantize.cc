// Quantization of arrays and the converters of tiles.

#include "engine/quantize.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <string>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/place.h"
#include "engine/cuda/quantize.h"

namespace memtorch {
namespace {

using namespace nb::literals;

// One bound of a quantization as Python gave it: absent, a number, or one value per element.
struct Bound {
  double number = 0;
  Placed<const double> array;
  const double* data = nullptr;
  bool per_element = false;

  Bound(const char* name, nb::handle value, int64_t size, Place* place) {
    if (value.is_none()) return;
    if (nb::try_cast(value, number)) {
      data = &number;
    } else if (nb::try_cast(value, array, /*convert=*/false)) {
      CheckSize("quantize", name, array, size);
      place->Add(array);
      data = array.data();
      per_element = true;
    } else {
      Invalid("quantize", name, " must be None, a float or a contiguous float64 array");
    }
  }
  Bound(const Bound&) = delete;

  // The bound as a column of `size` values, for when the other bound is one.
  const double* Expanded(std::vector<double>& storage, int64_t size) const {
    if (data == nullptr || per_element) return data;
    storage.assign(static_cast<size_t>(size), number);
    return storage.data();
  }
};

void BindQuantizeArray(const AnyPlaced& x, const AnyPlaced& out, const std::string& method, int64_t quant,
                       double overflow_rate, nb::handle min, nb::handle max,
                       const std::optional<AnyPlaced>& workspace) {
  const char* op = "quantize";
  const int64_t size = static_cast<int64_t>(x.size());
  CheckSize(op, "out", out, size);
  if (x.dtype() != out.dtype()) Invalid(op, "x and out must have the same dtype");
  Place place(op, x, out, workspace);
  const Bound low("min", min, size, &place), high("max", max, size, &place);
  const bool mixed = low.data != nullptr && high.data != nullptr && low.per_element != high.per_element;
  const QuantizeOptions options{method, quant, overflow_rate};
  WithFloatType(op, "x", x, [&](auto type) {
    using T = decltype(type);
    const T* from = static_cast<const T*>(x.data());
    T* to = static_cast<T*>(out.data());
    const int64_t stride = low.per_element || high.per_element ? 1 : 0;
    place.Run(
        [&](void* stream) {
          if (mixed) Invalid(op, "min and max must both be numbers or both be arrays on a GPU");
          const int64_t needed = cuda::QuantizeWorkspaceBytes<T>(size);
          const int64_t given = workspace ? static_cast<int64_t>(workspace->nbytes()) : 0;
          if (given < needed) Invalid(op, "workspace must hold ", needed, " bytes, got ", given);
          cuda::Quantize<T>(options, {low.data, high.data, stride}, from, to, size, workspace->data(), stream);
        },
        [&] {
          std::vector<double> low_column, high_column;
          const Bounds bounds = mixed ? Bounds{low.Expanded(low_column, size), high.Expanded(high_column, size), 1}
                                      : Bounds{low.data, high.data, stride};
          Quantize<T>(options, bounds, from, to, size);
        });
  });
}

int64_t BindQuantizeWorkspace(int64_t size, bool single) {
  return single ? cuda::QuantizeWorkspaceBytes<float>(size) : cuda::QuantizeWorkspaceBytes<double>(size);
}

void BindDigitizeAndSum(const AnyPlaced& partial, const std::vector<int64_t>& ends, const AnyPlaced& out,
                        const std::string& method, int bits, double overflow_rate, double range) {
  if (partial.ndim() != 4) Invalid("adc", "partial must have shape [parts, outer, cols, inner]");
  int64_t shape[4];
  for (size_t k = 0; k < 4; ++k) shape[k] = static_cast<int64_t>(partial.shape(k));
  CheckSize("adc", "out", out, shape[1] * shape[2] * shape[3]);
  if (partial.dtype() != out.dtype()) Invalid("adc", "partial and out must have the same dtype");
  WithFloatType("adc", "partial", partial, [&](auto type) {
    using T = decltype(type);
    PartialSums<T> sums;
    sums.data = static_cast<const T*>(partial.data());
    sums.parts = shape[0];
    sums.outer = shape[1];
    sums.cols = shape[2];
    sums.inner = shape[3];
    sums.inner_stride = 1;
    sums.col_stride = sums.inner;
    sums.outer_stride = sums.cols * sums.inner;
    sums.part_stride = sums.outer * sums.outer_stride;
    const AdcOptions options{method, bits, overflow_rate, range};
    T* to = static_cast<T*>(out.data());
    Place("adc", partial, out)
        .Run([&](void* stream) { cuda::DigitizeAndSum<T>(options, sums, ends, to, stream); },
             [&] { DigitizeAndSum<T>(options, sums, ends, to); });
  });
}

}  // namespace

void BindQuantize(nb::module_& m) {
  m.def(
      "quant_methods",
      [] {
        nb::list names;
        for (const std::string& name : QuantMethods()) names.append(name);
        return names;
      },
      nb::sig("def quant_methods() -> list[str]"), "The quantization methods by name.");
  m.def("quantize", &BindQuantizeArray, "x"_a, "out"_a.noconvert(), "method"_a, "quant"_a, "overflow_rate"_a,
        "min"_a.none(), "max"_a.none(), "workspace"_a = nb::none(),
        nb::sig("def quantize(x: object, out: object, method: str, quant: int, overflow_rate: float, min: object, max: "
                "object, workspace: object = None) -> None"),
        "Quantizes x into out (may be x) with one range for the whole array; method '' means quant uniform levels. "
        "Bounds: None, a float, or a float64 array with one value per element. A GPU needs a workspace.");
  m.def("quantize_workspace", &BindQuantizeWorkspace, "size"_a, "single"_a,
        "Bytes of the workspace that quantizing float32 (single) or float64 elements needs on a GPU.");
  m.def("digitize_and_sum", &BindDigitizeAndSum, "partial"_a, "ends"_a, "out"_a.noconvert(), "method"_a, "bits"_a,
        "overflow_rate"_a, "range"_a,
        "Digitises partial sums [parts, outer, cols, inner], one converter per tile and input vector, and adds the "
        "parts into out [outer, cols, inner]. ends: the column ends of the tiles.");
}

}  // namespace memtorch
