// Weights as conductances.

#include "engine/weights.h"

#include <nanobind/stl/optional.h>

#include <optional>

#include "bindings/arrays.h"
#include "bindings/place.h"
#include "engine/cuda/weights.h"

namespace memtorch {
namespace {

using namespace nb::literals;

// That an array goes with the weights element by element.
void CheckBeside(const char* op, const char* name, const AnyPlaced& weights, const AnyPlaced& array) {
  CheckSize(op, name, array, static_cast<int64_t>(weights.size()));
  if (array.dtype() != weights.dtype()) Invalid(op, name, " must have the dtype of weights");
}

template <class T>
T* DataOf(const std::optional<AnyPlaced>& array) {
  return array ? static_cast<T*>(array->data()) : nullptr;
}

void BindMap(const AnyPlaced& weights, double w_max, double middle, double slope, double low, double high,
             const AnyPlaced& positive, const std::optional<AnyPlaced>& negative) {
  const char* op = "map_weights";
  CheckBeside(op, "positive", weights, positive);
  if (negative) CheckBeside(op, "negative", weights, *negative);
  const WeightMap map{w_max, middle, slope, low, high};
  const auto size = static_cast<int64_t>(weights.size());
  WithFloatType(op, "weights", weights, [&](auto type) {
    using T = decltype(type);
    const T* w = static_cast<const T*>(weights.data());
    T* up = static_cast<T*>(positive.data());
    T* down = DataOf<T>(negative);
    Place(op, weights, positive, negative)
        .Run([&](void* stream) { cuda::MapWeights(map, w, size, up, down, stream); },
             [&] { MapWeights(map, w, size, up, down); });
  });
}

void BindSum(const AnyPlaced& weights, const AnyPlaced& positive, const std::optional<AnyPlaced>& negative,
             double reference, const Placed<double>& sums, const std::optional<AnyPlaced>& workspace) {
  const char* op = "sum_weights";
  CheckBeside(op, "positive", weights, positive);
  if (negative) CheckBeside(op, "negative", weights, *negative);
  CheckSize(op, "sums", sums, 2);
  const auto size = static_cast<int64_t>(weights.size());
  WithFloatType(op, "weights", weights, [&](auto type) {
    using T = decltype(type);
    const WeightDifferences<T> of{static_cast<const T*>(weights.data()), static_cast<const T*>(positive.data()),
                                  DataOf<const T>(negative), reference, size};
    Place(op, weights, positive, negative, sums, workspace)
        .Run(
            [&](void* stream) {
              void* scratch = WorkspaceOf(op, workspace, cuda::SumWeightsWorkspaceBytes(size));
              cuda::SumWeights(of, sums.data(), scratch, stream);
            },
            [&] { SumWeights(of, sums.data()); });
  });
}

}  // namespace

void BindWeights(nb::module_& m) {
  m.def("map_weights", &BindMap, "weights"_a, "w_max"_a, "middle"_a, "slope"_a, "low"_a, "high"_a,
        "positive"_a.noconvert(), "negative"_a.noconvert() = nb::none(),
        "positive = middle + slope * weights / w_max within [low, high], siemens; negative: the same of -weights.");
  m.def("sum_weights", &BindSum, "weights"_a, "positive"_a, "negative"_a, "reference"_a, "sums"_a.noconvert(),
        "workspace"_a.noconvert() = nb::none(),
        "sums = [sum of weights * d, sum of d * d], d = positive - negative, or positive - reference without.");
  m.def("sum_weights_workspace", &cuda::SumWeightsWorkspaceBytes, "size"_a,
        "Bytes that sum_weights needs as workspace for weights on a GPU.");
}

}  // namespace memtorch
