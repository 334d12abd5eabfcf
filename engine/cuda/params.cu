#include "engine/cuda/device_columns.h"
#include "engine/cuda/launch.h"
#include "engine/cuda/params.h"
#include "engine/devices/models.h"
#include "engine/simulate_checks.h"

namespace memtorch::cuda {
namespace {

constexpr uint64_t kNone = UINT64_MAX;

struct Clear {
  uint64_t* found;

  MT_HD void operator()(int64_t) const { *found = kNone; }
};

// What is reported first has the smallest number: parameter by parameter, then what does not go together.
template <class M>
struct JudgeDevice {
  DeviceColumns devices;
  uint64_t* found;

  MT_HD void operator()(int64_t device) const {
    const int rule = devices.template FirstOutOfRange<M>(device);
    if (rule == kParamCount<M> && M::Conflict(devices.template ParamsAt<M>(device)).empty()) return;
    AtomicMin(found,
              static_cast<uint64_t>(rule) * static_cast<uint64_t>(devices.size()) + static_cast<uint64_t>(device));
  }
};

}  // namespace

void FindBadParams(const std::string& model, const DeviceView& devices, int64_t* found, void* stream) {
  const char* op = "check_params";
  uint64_t* number = reinterpret_cast<uint64_t*>(found);
  WithModel(
      model,
      [&](auto m) {
        using M = decltype(m);
        CheckParamColumns<M>(op, devices);
        ForEach(op, 1, Clear{number}, stream);
        ForEach(op, devices.size, JudgeDevice<M>{DeviceColumns(devices, kParamCount<M>), number}, stream);
      },
      op);
}

}  // namespace memtorch::cuda
