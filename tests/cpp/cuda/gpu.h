// What tests of engine/cuda share: memory of the GPU, or of the host where a GPU is only emulated.
//
// Every test here is built against both emulations, which run anywhere, and against the kernels, which run where there
// is a GPU. All compare with the CPU's engine.
#ifndef MEMTORCH_TESTS_CPP_CUDA_GPU_H_
#define MEMTORCH_TESTS_CPP_CUDA_GPU_H_

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "engine/cuda/runtime.h"

namespace memtorch::testing {

// Whether every thread is watched (engine/cuda/emulation.h), which takes a hundred times as long: tests then take a few
// of their cases, of all kinds.
#if defined(MT_EMULATED_THREADS)
constexpr bool kWatched = true;
#else
constexpr bool kWatched = false;
#endif

// Raw memory of the GPU, and copies to and from it that wait for all work before them.
void* GpuAllocate(size_t bytes);
void GpuFree(void* memory);
void GpuCopyIn(void* gpu, const void* host, size_t bytes);
void GpuCopyOut(void* host, const void* gpu, size_t bytes);

// Values on the GPU.
template <class T>
class OnGpu {
 public:
  explicit OnGpu(const std::vector<T>& values) : size_(values.size()) {
    if (size_ == 0) return;
    data_ = static_cast<T*>(GpuAllocate(size_ * sizeof(T)));
    GpuCopyIn(data_, values.data(), size_ * sizeof(T));
  }
  // Of bytes 0xff, which are no numbers: whoever reads before something is written shows it.
  explicit OnGpu(int64_t size) : size_(static_cast<size_t>(size)) {
    if (size_ == 0) return;
    const std::vector<char> bytes(size_ * sizeof(T), -1);
    data_ = static_cast<T*>(GpuAllocate(bytes.size()));
    GpuCopyIn(data_, bytes.data(), bytes.size());
  }
  OnGpu(OnGpu&& other) noexcept : size_(other.size_), data_(std::exchange(other.data_, nullptr)) {}
  OnGpu(const OnGpu&) = delete;
  OnGpu& operator=(const OnGpu&) = delete;
  OnGpu& operator=(OnGpu&&) = delete;
  ~OnGpu() {
    if (data_ != nullptr) GpuFree(data_);
  }

  T* data() const { return data_; }  // null if empty
  std::vector<T> Get() const {
    std::vector<T> values(size_);
    if (size_ != 0) GpuCopyOut(values.data(), data_, size_ * sizeof(T));
    return values;
  }

 private:
  size_t size_;
  T* data_ = nullptr;
};

// Skips where there is no GPU; otherwise emulated loops run forwards (0) and backwards (1). What watches threads needs
// no second order to see a race.
class GpuTest : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override;
  void TearDown() override;
};
#define MT_GPU_SUITE(name) \
  INSTANTIATE_TEST_SUITE_P(Order, name, ::testing::Range(0, memtorch::testing::kWatched ? 1 : 2))

}  // namespace memtorch::testing

#endif  // MEMTORCH_TESTS_CPP_CUDA_GPU_H_
