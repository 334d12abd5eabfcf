// What the headers of engine/cuda are in a build without CUDA.

#include <stdexcept>

#include "engine/cuda/runtime.h"
#include "engine/cuda/simulate.h"

namespace memtorch::cuda {
namespace {

constexpr const char* kReason = "memtorch was built without CUDA; rebuild with --config=cuda";

[[noreturn]] void Refuse(const char* op) { throw std::runtime_error(std::string("[") + op + "] " + kReason); }

}  // namespace

Availability Query() { return {0, kReason}; }
std::vector<std::string> Architectures() { return {}; }
bool Emulated() { return false; }

DeviceGuard::DeviceGuard(int device) : former_(device) { Refuse("cuda"); }
DeviceGuard::~DeviceGuard() = default;

void Simulate(const std::string&, const DeviceView&, const Waveform&, const SimulateOptions&, double*, void*) {
  Refuse("simulate");
}
void SetConductance(const std::string&, const DeviceView&, const ConductanceColumn&, void*) {
  Refuse("set_conductance");
}
void UpdateConductance(const std::string&, const DeviceView&, void*) { Refuse("update_conductance"); }
void Reset(const std::string&, const DeviceView&, void*) { Refuse("reset"); }

}  // namespace memtorch::cuda
