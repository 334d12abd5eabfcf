// What the extension says of CUDA, and where it finds the stream to queue work on.

#include <nanobind/stl/function.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <functional>

#include "bindings/place.h"

namespace memtorch {
namespace {

using namespace nb::literals;

using StreamSource = std::function<uint64_t(int)>;

// Leaked, because it holds a Python object that must not be released after the interpreter is gone.
StreamSource& Source() {
  static StreamSource& source = *new StreamSource();
  return source;
}

}  // namespace

void* CurrentStream(int device) { return Source() ? reinterpret_cast<void*>(Source()(device)) : nullptr; }

void BindCuda(nb::module_& m) {
  m.def("cuda_devices", [] { return cuda::Query().devices; }, "GPUs that can be used.");
  m.def("cuda_reason", [] { return cuda::Query().reason; }, "Why there are none; empty where there are.");
  m.def("cuda_architectures", &cuda::Architectures, "What the kernels were compiled for.");
  m.def(
      "set_stream_source", [](StreamSource source) { Source() = std::move(source); }, "source"_a,
      "Sets the function that gives the current cudaStream_t of a GPU by its index.");
}

}  // namespace memtorch
