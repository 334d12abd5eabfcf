// quantize.h on a GPU. Arrays are memory of the current CUDA device; bounds of stride 0 are the host's. Results are those
// of the CPU, bit for bit.
//
// Options and shapes are checked as on the CPU, elements are not, because that would wait for the device: an element that
// is infinite or NaN counts for no range and becomes NaN.
#ifndef MEMTORCH_ENGINE_CUDA_QUANTIZE_H_
#define MEMTORCH_ENGINE_CUDA_QUANTIZE_H_

#include <vector>

#include "engine/quantize.h"

namespace memtorch::cuda {

// Bytes of scratch memory that Quantize needs for n elements of type T, aligned to 16.
template <class T>
int64_t QuantizeWorkspaceBytes(int64_t n);

// `workspace` is free again when the work on `stream` is done.
template <class T>
void Quantize(const QuantizeOptions& options, const Bounds& bounds, const T* x, T* out, int64_t n, void* workspace,
              void* stream);

template <class T>
void DigitizeAndSum(const AdcOptions& adc, const PartialSums<T>& in, const std::vector<int64_t>& ends, T* out,
                    void* stream);

}  // namespace memtorch::cuda

#endif  // MEMTORCH_ENGINE_CUDA_QUANTIZE_H_
