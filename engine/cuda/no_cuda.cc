// What engine/cuda/kernels.h is in a build without CUDA.

#include <stdexcept>

#include "engine/cuda/kernels.h"

namespace memtorch::cuda {
namespace {

[[noreturn]] void Refuse(const char* op) {
  throw std::runtime_error(std::string("[") + op + "] memtorch was built without CUDA; rebuild with --config=cuda");
}

}  // namespace

void Simulate(const std::string&, const DeviceView&, const Waveform&, const SimulateOptions&, double*, void*) {
  Refuse("simulate");
}
void SetConductance(const std::string&, const DeviceView&, const ConductanceColumn&, void*) {
  Refuse("set_conductance");
}
void UpdateConductance(const std::string&, const DeviceView&, void*) { Refuse("update_conductance"); }
void Reset(const std::string&, const DeviceView&, void*) { Refuse("reset"); }

}  // namespace memtorch::cuda
