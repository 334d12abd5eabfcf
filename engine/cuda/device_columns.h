// Columns of devices as the functors of engine/cuda read and write them.
#ifndef MEMTORCH_ENGINE_CUDA_DEVICE_COLUMNS_H_
#define MEMTORCH_ENGINE_CUDA_DEVICE_COLUMNS_H_

#include "engine/device_array.h"
#include "engine/device_model.h"

namespace memtorch::cuda {

// A DeviceView whose shared parameters stand in it by value, so that they travel with the launch.
class DeviceColumns {
 public:
  // `view`: the columns are on the GPU; parameters of stride 0 are on the host. REQUIRES `params` of them.
  DeviceColumns(const DeviceView& view, int params) : view_(view) {
    for (int i = 0; i < params; ++i) {
      const ParamColumn& column = view.params[i];
      param_[i] = column.stride == 0 ? nullptr : column.data;
      shared_[i] = column.stride == 0 ? column.data[0] : 0;
    }
  }

  MT_HD int64_t size() const { return view_.size; }
  MT_HD bool IsStuckAt(int64_t device) const { return IsStuck(view_, device); }

  template <class M>
  MT_HD typename M::Params ParamsAt(int64_t device) const {
    return LoadParams<M>(ParamSource{this, device});
  }

  // As FirstOutOfRange of device_model.h.
  template <class M>
  MT_HD int FirstOutOfRange(int64_t device) const {
    return memtorch::FirstOutOfRange<M>(ParamSource{this, device});
  }

  template <class M>
  MT_HD typename M::State StateAt(int64_t device) const {
    return LoadState<M>(StateSource{view_.state, device});
  }

  MT_HD double ConductanceAt(int64_t device) const {
    return view_.g.f32 != nullptr ? static_cast<double>(view_.g.f32[device]) : view_.g.f64[device];
  }

  // A conductance as the column stores it.
  MT_HD double Stored(double g) const {
    return view_.g.f32 != nullptr ? static_cast<double>(static_cast<float>(g)) : g;
  }

  // Writes the state and its conductance, unless the device is stuck.
  template <class M>
  MT_HD void Write(int64_t device, const typename M::Params& p, const typename M::State& s) const {
    if (!IsStuckAt(device)) Put<M>(device, s, M::Conductance(p, s));
  }

  // Writes a state and a conductance, whatever they are.
  template <class M>
  MT_HD void Put(int64_t device, const typename M::State& s, double g) const {
    StoreState<M>(s, StateSink{view_.state, device});
    if (view_.g.f32 != nullptr) {
      view_.g.f32[device] = static_cast<float>(g);
    } else {
      view_.g.f64[device] = g;
    }
  }

 private:
  struct ParamSource {
    const DeviceColumns* columns;
    int64_t device;
    MT_HD double operator()(size_t i) const {
      return columns->param_[i] != nullptr ? columns->param_[i][device] : columns->shared_[i];
    }
  };
  struct StateSource {
    double* const* columns;
    int64_t device;
    MT_HD double operator()(size_t i) const { return columns[i][device]; }
  };
  struct StateSink {
    double* const* columns;
    int64_t device;
    MT_HD void operator()(size_t i, double value) const { columns[i][device] = value; }
  };

  DeviceView view_;
  const double* param_[kMaxParams] = {};
  double shared_[kMaxParams] = {};
};

}  // namespace memtorch::cuda

#endif  // MEMTORCH_ENGINE_CUDA_DEVICE_COLUMNS_H_
