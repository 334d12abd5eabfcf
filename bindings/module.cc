// The extension module memtorch._engine: one Bind function per area, and the translation of errors.

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <stdexcept>

#include "engine/parallel.h"
#include "engine/simd.h"

namespace memtorch {

namespace nb = nanobind;

void BindCuda(nb::module_& m);
void BindCurves(nb::module_& m);
void BindDevices(nb::module_& m);
void BindGrid(nb::module_& m);
void BindProgramming(nb::module_& m);
void BindQuantize(nb::module_& m);
void BindRandom(nb::module_& m);
void BindReads(nb::module_& m);
void BindTiles(nb::module_& m);
void BindWeights(nb::module_& m);
void BindWindows(nb::module_& m);

namespace {

// memtorch.InvalidArgument(ValueError, AssertionError): MemTorch 1.1.6 checked with assert, and its users catch that.
void BindErrors(nb::module_& m) {
  nb::object bases = nb::steal(PyTuple_Pack(2, PyExc_ValueError, PyExc_AssertionError));
  PyObject* type = PyErr_NewExceptionWithDoc("memtorch.InvalidArgument", "An argument is not what it must be.",
                                             bases.ptr(), nullptr);
  if (type == nullptr) nb::raise_python_error();
  m.attr("InvalidArgument") = nb::handle(type);
  nb::register_exception_translator(
      [](const std::exception_ptr& error, void* payload) {
        try {
          std::rethrow_exception(error);
        } catch (const std::invalid_argument& e) {
          PyErr_SetString(static_cast<PyObject*>(payload), e.what());
        }
      },
      type);
}

const char* IsaName() {
  switch (ActiveIsa()) {
    case Isa::kAvx512:
      return "avx512";
    case Isa::kAvx2:
      return "avx2";
    default:
      return "baseline";
  }
}

}  // namespace
}  // namespace memtorch

NB_MODULE(_engine, m) {
  using namespace nanobind::literals;
  m.doc() =
      "The memtorch engine. Private: the modules memtorch._*_ops and memtorch.bh._device_array are its only callers.";
  memtorch::BindErrors(m);
  memtorch::BindCuda(m);
  memtorch::BindCurves(m);
  memtorch::BindDevices(m);
  memtorch::BindProgramming(m);
  memtorch::BindReads(m);
  memtorch::BindGrid(m);
  memtorch::BindQuantize(m);
  memtorch::BindRandom(m);
  memtorch::BindTiles(m);
  memtorch::BindWeights(m);
  memtorch::BindWindows(m);
  m.def("set_num_threads", &memtorch::SetNumThreads, "count"_a,
        "Threads that engine calls of this Python thread use; 0: OpenMP's own number.");
  m.def("num_threads", &memtorch::NumThreads, "Threads that engine calls of this Python thread use.");
  m.def("isa", &memtorch::IsaName, "Instruction set in use: baseline, avx2 or avx512 (MEMTORCH_ISA limits it).");
}
