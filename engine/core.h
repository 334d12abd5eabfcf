// What every other header of the engine stands on: the host/device marker, views, checked errors.
//
// Nothing here allocates, and nothing knows torch or Python.
#ifndef MEMTORCH_ENGINE_CORE_H_
#define MEMTORCH_ENGINE_CORE_H_

#include <cstdint>
#include <sstream>
#include <stdexcept>
#include <string>

// Marks a function that compiles for host and device. It is always inlined: the kernels that call it are
// compiled once per instruction set, and an out-of-line copy could be merged across those by the linker.
#if defined(__CUDACC__)
#define MT_HD __host__ __device__ __forceinline__
#else
#define MT_HD inline __attribute__((always_inline))
#endif

namespace memtorch {

// Non-owning row-major matrix: element (i, j) is data[i * stride + j].
template <class T>
struct MatrixView {
  T* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;

  MT_HD T& operator()(int64_t i, int64_t j) const { return data[i * stride + j]; }
};

// Throws std::invalid_argument("[op] part part ..."), the form of every error of this project:
//   Invalid("simulate", "dt (", dt, " s) must be finite and above 0");
template <class... Parts>
[[noreturn]] void Invalid(const char* op, const Parts&... parts) {
  std::ostringstream text;
  text << '[' << op << "] ";
  (text << ... << parts);
  throw std::invalid_argument(text.str());
}

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_CORE_H_
