// nonlinear_read.h on a GPU: columns, voltages, currents and gradients are memory of the current CUDA device; shared
// parameters are the host's. Results are those of the CPU, bit for bit.
//
// Shapes and shared parameters are checked as on the CPU; columns and voltages are not, because that would wait for the
// device: REQUIRES what the CPU's functions check.
#ifndef MEMTORCH_ENGINE_CUDA_NONLINEAR_READ_H_
#define MEMTORCH_ENGINE_CUDA_NONLINEAR_READ_H_

#include <string>

#include "engine/nonlinear_read.h"

namespace memtorch::cuda {

void ReadShape(const std::string& model, const DeviceView& devices, const double* v, int64_t n, double* shape,
               double* slope, void* stream);
void ReadNonlinear(const std::string& model, const NonlinearRead& read, double* partial, void* stream);
void ReadNonlinearGradient(const std::string& model, const NonlinearRead& read, const double* partial_grad,
                           double* v_grad, double* g_grad, void* stream);
void ReadSimulated(const std::string& model, const NonlinearRead& read, const SimulatedReadOptions& options,
                   double* partial, void* stream);

}  // namespace memtorch::cuda

#endif  // MEMTORCH_ENGINE_CUDA_NONLINEAR_READ_H_
