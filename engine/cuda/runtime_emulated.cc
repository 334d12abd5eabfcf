// The runtime of :emulated, where ForEach and ForBlocks are loops on the host.

#include "engine/cuda/launch.h"
#include "engine/cuda/runtime.h"

namespace memtorch::cuda {
namespace {

bool descending_emulation = false;

}  // namespace

void CheckLaunch(const char*) {}

bool DescendingEmulation() { return descending_emulation; }
void SetDescendingEmulation(bool descending) { descending_emulation = descending; }

Availability Query() { return {1, ""}; }
std::vector<std::string> Architectures() { return {"emulated"}; }
bool Emulated() { return true; }

DeviceGuard::DeviceGuard(int device) : former_(device) {}
DeviceGuard::~DeviceGuard() = default;

}  // namespace memtorch::cuda
