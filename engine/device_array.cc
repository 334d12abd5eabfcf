#include "engine/device_array.h"

#include <utility>

#include "engine/device_model.h"
#include "engine/devices/models.h"
#include "engine/simulate.h"

namespace memtorch {
namespace {

constexpr const char* kOp = "DeviceArray";

// Position of the named parameter in the table of the model.
template <class M>
size_t ParamIndex(const std::string& name) {
  std::string known;
  for (size_t i = 0; i < kParamCount<M>; ++i) {
    if (name == M::kParams[i].name) return i;
    known += (i == 0 ? "" : ", ") + std::string(M::kParams[i].name);
  }
  Invalid(kOp, M::kName, " has no parameter '", name, "'; it has ", known);
}

}  // namespace

DeviceArray::DeviceArray(const std::string& model, int64_t size, const std::map<std::string, double>& params)
    : model_(model) {
  if (size < 0) Invalid(kOp, "size (", size, ") must be at least 0");
  WithModel(
      model,
      [&](auto m) {
        using M = decltype(m);
        for (const auto& field : M::kParams) params_.push_back({field.value});
        for (const auto& [name, value] : params) params_[ParamIndex<M>(name)] = {value};
        state_.resize(kStateCount<M>);
      },
      kOp);
  for (auto& column : state_) column.resize(static_cast<size_t>(size));
  g_.resize(static_cast<size_t>(size));
  CheckParams(kOp, model_, view());
  Reset(model_, view());
}

void DeviceArray::SetParam(const std::string& name, std::vector<double> values) {
  if (values.size() != g_.size()) {
    Invalid(kOp, "values of ", name, " (", values.size(), ") must be one for each of the ", g_.size(), " devices");
  }
  WithModel(model_, [&](auto m) {
    std::vector<double>& column = params_[ParamIndex<decltype(m)>(name)];
    std::swap(column, values);
    try {
      CheckParams(kOp, model_, view());
    } catch (...) {
      std::swap(column, values);
      throw;
    }
  });
}

void DeviceArray::SetStuck(std::vector<uint8_t> stuck) {
  if (stuck.size() != g_.size()) {
    Invalid(kOp, "stuck (", stuck.size(), " values) must hold one for each of the ", g_.size(), " devices");
  }
  stuck_ = std::move(stuck);
}

DeviceView DeviceArray::view() {
  DeviceView view;
  view.size = size();
  for (size_t i = 0; i < params_.size(); ++i) view.params[i] = {params_[i].data(), params_[i].size() == 1 ? 0 : 1};
  for (size_t i = 0; i < state_.size(); ++i) view.state[i] = state_[i].data();
  view.g.f32 = g_.data();
  if (!stuck_.empty()) view.stuck = stuck_.data();
  return view;
}

}  // namespace memtorch
