// Columns of devices: the view that every kernel takes, and an owner for C++ programs.
//
// A device costs its columns: one float of conductance and one double of state (12 bytes) while parameters are shared,
// 8 bytes more for each parameter that differs between devices. Python owns the same columns as torch tensors.
#ifndef MEMTORCH_ENGINE_DEVICE_ARRAY_H_
#define MEMTORCH_ENGINE_DEVICE_ARRAY_H_

#include <map>
#include <string>
#include <vector>

#include "engine/core.h"

namespace memtorch {

constexpr int kMaxParams = 24;
constexpr int kMaxStates = 2;

// A parameter of all devices: stride 0 means one value shared by all, stride 1 one value per device.
struct ParamColumn {
  const double* data = nullptr;
  int64_t stride = 0;
};

// Conductances [size], siemens: float32 by default, float64 on request. Exactly one pointer is set.
struct ConductanceColumn {
  float* f32 = nullptr;
  double* f64 = nullptr;
};

// Non-owning columns of `size` devices of one model. Parameter and state order: the model's tables.
struct DeviceView {
  int64_t size = 0;
  ParamColumn params[kMaxParams] = {};
  double* state[kMaxStates] = {};
  ConductanceColumn g;
  const uint8_t* stuck = nullptr;  // [size], not 0 where a device has failed and keeps its state and g; null: none has
};

MT_HD bool IsStuck(const DeviceView& devices, int64_t device) {
  return devices.stuck != nullptr && devices.stuck[device] != 0;
}

// Owns the columns of `size` fresh devices of the named model, for programs without torch.
//
//   DeviceArray devices("VTEAM", 128 * 128, {{"r_on", 1e3}, {"r_off", 1e5}});
//   SetConductance("VTEAM", devices.view(), targets);
//
// Copyable and movable. Thread-safety: as std::vector.
class DeviceArray {
 public:
  // Throws std::invalid_argument for an unknown model or parameter, or a value out of its range.
  DeviceArray(const std::string& model, int64_t size, const std::map<std::string, double>& params = {});

  // Gives each device its own value of one parameter. REQUIRES values.size() == size().
  void SetParam(const std::string& name, std::vector<double> values);

  // Says which devices keep their state and conductance from now on (1) and which do not (0).
  // REQUIRES stuck.size() == size().
  void SetStuck(std::vector<uint8_t> stuck);

  DeviceView view();
  const std::string& model() const { return model_; }
  int64_t size() const { return static_cast<int64_t>(g_.size()); }
  const std::vector<float>& g() const { return g_; }

 private:
  std::string model_;
  std::vector<std::vector<double>> params_;  // [parameter][1 or size]
  std::vector<std::vector<double>> state_;   // [variable][size]
  std::vector<float> g_;
  std::vector<uint8_t> stuck_;  // [size], or empty: none is
};

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_DEVICE_ARRAY_H_
