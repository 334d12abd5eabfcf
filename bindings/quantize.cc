// Quantization of arrays and the converters of tiles.

#include "engine/quantize.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <string>
#include <vector>

#include "bindings/arrays.h"

namespace memtorch {
namespace {

using namespace nb::literals;

// One bound of a quantization as Python gave it: absent, a number, or one value per element.
struct Bound {
  double number = 0;
  Flat<const double> array;
  const double* data = nullptr;
  bool per_element = false;

  Bound(const char* name, nb::handle value, int64_t size) {
    if (value.is_none()) return;
    if (nb::try_cast(value, number)) {
      data = &number;
    } else if (nb::try_cast(value, array, /*convert=*/false)) {
      CheckSize("quantize", name, array, size);
      data = array.data();
      per_element = true;
    } else {
      Invalid("quantize", name, " must be None, a float or a contiguous float64 array on the CPU");
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

void BindQuantizeArray(const AnyFlat& x, const AnyFlat& out, const std::string& method, int64_t quant,
                       double overflow_rate, nb::handle min, nb::handle max) {
  const int64_t size = static_cast<int64_t>(x.size());
  CheckSize("quantize", "out", out, size);
  if (x.dtype() != out.dtype()) Invalid("quantize", "x and out must have the same dtype");
  const Bound low("min", min, size), high("max", max, size);
  Bounds bounds{low.data, high.data, 0};
  std::vector<double> low_column, high_column;
  if (low.per_element || high.per_element) {
    bounds = {low.Expanded(low_column, size), high.Expanded(high_column, size), 1};
  }
  const QuantizeOptions options{method, quant, overflow_rate};
  WithFloatType("quantize", "x", x, [&](auto type) {
    using T = decltype(type);
    nb::gil_scoped_release unlocked;
    Quantize<T>(options, bounds, static_cast<const T*>(x.data()), static_cast<T*>(out.data()), size);
  });
}

void BindDigitizeAndSum(const AnyFlat& partial, const std::vector<int64_t>& ends, const AnyFlat& out,
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
    nb::gil_scoped_release unlocked;
    DigitizeAndSum<T>({method, bits, overflow_rate, range}, sums, ends, static_cast<T*>(out.data()));
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
        "min"_a.none(), "max"_a.none(),
        nb::sig("def quantize(x: object, out: object, method: str, quant: int, overflow_rate: float, min: object, max: "
                "object) -> None"),
        "Quantizes x into out (may be x) with one range for the whole array; method '' means quant uniform levels. "
        "Bounds: None, a float, or a float64 array with one value per element.");
  m.def("digitize_and_sum", &BindDigitizeAndSum, "partial"_a, "ends"_a, "out"_a.noconvert(), "method"_a, "bits"_a,
        "overflow_rate"_a, "range"_a,
        "Digitises partial sums [parts, outer, cols, inner], one converter per tile and input vector, and adds the "
        "parts into out [outer, cols, inner]. ends: the column ends of the tiles.");
}

}  // namespace memtorch
