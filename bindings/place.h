// Where the arrays of a call live: all on the CPU, or all on one GPU.
//
//   Place("fill", out).Run([&](void* stream) { cuda::Fill(out.data(), stream); }, [&] { Fill(out.data()); });
#ifndef MEMTORCH_BINDINGS_PLACE_H_
#define MEMTORCH_BINDINGS_PLACE_H_

#include <optional>
#include <string>
#include <vector>

#include "bindings/arrays.h"
#include "engine/cuda/runtime.h"

namespace memtorch {

// The current stream of a GPU, as a cudaStream_t: asks the function that Python set with set_stream_source.
void* CurrentStream(int device);

class Place {
 public:
  // Throws std::invalid_argument unless all arrays share a device, a CPU or a CUDA one. Arguments are arrays, optional
  // arrays and vectors of arrays.
  template <class... Arrays>
  explicit Place(const char* op, const Arrays&... arrays) : op_(op) {
    AddAll(arrays...);
  }

  template <class... Properties>
  void Add(const nb::ndarray<Properties...>& array) {
    const int type = array.device_type();
    if (type != nb::device::cpu::value && type != nb::device::cuda::value) {
      Invalid(op_, "arrays must be on the CPU or a CUDA device");
    }
    const int device = type == nb::device::cuda::value ? array.device_id() : kCpu;
    if (known_ && device != device_) {
      Invalid(op_, "arrays must all be on one device, got ", Name(device_), " and ", Name(device));
    }
    device_ = device;
    known_ = true;
  }
  template <class T>
  void Add(const std::optional<T>& array) {
    if (array) Add(*array);
  }
  template <class T>
  void Add(const std::vector<T>& arrays) {
    for (const T& array : arrays) Add(array);
  }
  template <class... Arrays>
  void AddAll(const Arrays&... arrays) {
    (Add(arrays), ...);
  }

  // on_gpu(stream) with the arrays' GPU current, or on_cpu(); without the GIL.
  template <class OnGpu, class OnCpu>
  void Run(const OnGpu& on_gpu, const OnCpu& on_cpu) const {
    void* stream = device_ == kCpu ? nullptr : CurrentStream(device_);
    nb::gil_scoped_release unlocked;
    if (device_ != kCpu) {
      const cuda::DeviceGuard guard(device_);
      on_gpu(stream);
    } else if (cuda::Emulated()) {
      on_gpu(stream);
    } else {
      on_cpu();
    }
  }

  // on_cpu() for what is not computed on a GPU; `what` names it. Throws std::invalid_argument if arrays are there.
  template <class OnCpu>
  void RunOnCpu(const char* what, const OnCpu& on_cpu) const {
    if (device_ != kCpu) Invalid(op_, "arrays (", Name(device_), ") must be on the CPU for ", what);
    nb::gil_scoped_release unlocked;
    on_cpu();
  }

 private:
  static constexpr int kCpu = -1;

  static std::string Name(int device) { return device == kCpu ? "cpu" : "cuda:" + std::to_string(device); }

  const char* op_;
  int device_ = kCpu;
  bool known_ = false;
};

// The scratch memory of a call on a GPU. Throws std::invalid_argument unless it holds the bytes that are needed.
template <class Array>
void* WorkspaceOf(const char* op, const std::optional<Array>& workspace, int64_t needed) {
  const int64_t given = workspace ? static_cast<int64_t>(workspace->nbytes()) : 0;
  if (given < needed) Invalid(op, "workspace must hold ", needed, " bytes, got ", given);
  return workspace ? workspace->data() : nullptr;
}

}  // namespace memtorch

#endif  // MEMTORCH_BINDINGS_PLACE_H_
