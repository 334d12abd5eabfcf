// Columns of devices on the GPU.
#ifndef MEMTORCH_TESTS_CPP_CUDA_COLUMNS_H_
#define MEMTORCH_TESTS_CPP_CUDA_COLUMNS_H_

#include <vector>

#include "tests/cpp/cuda/gpu.h"
#include "tests/cpp/testing/models.h"

namespace memtorch::testing {

// A copy of `columns`; parameters that all devices share stay on the host.
template <class M>
class GpuColumns {
 public:
  explicit GpuColumns(const Columns<M>& columns)
      : host_(columns), g32_(columns.g32), g64_(columns.g64), stuck_(columns.stuck) {
    for (const auto& column : columns.params) params_.emplace_back(column);
    for (const auto& column : columns.state) state_.emplace_back(column);
  }

  DeviceView View() {
    DeviceView view = host_.View();
    for (size_t i = 0; i < params_.size(); ++i) {
      if (view.params[i].stride != 0) view.params[i].data = params_[i].data();
    }
    for (size_t i = 0; i < state_.size(); ++i) view.state[i] = state_[i].data();
    view.g = {g32_.data(), g64_.data()};
    view.stuck = stuck_.data();
    return view;
  }

  // The columns as they are now.
  Columns<M> Get() const {
    Columns<M> columns = host_;
    for (size_t i = 0; i < state_.size(); ++i) columns.state[i] = state_[i].Get();
    columns.g32 = g32_.Get();
    columns.g64 = g64_.Get();
    return columns;
  }

 private:
  Columns<M> host_;
  std::vector<OnGpu<double>> params_, state_;
  OnGpu<float> g32_;
  OnGpu<double> g64_;
  OnGpu<uint8_t> stuck_;
};

}  // namespace memtorch::testing

#endif  // MEMTORCH_TESTS_CPP_CUDA_COLUMNS_H_
