// The runtime of the emulations, where ForEach and ForBlocks run on the host.

#include "engine/cuda/emulation.h"
#include "engine/cuda/launch.h"
#include "engine/cuda/runtime.h"

namespace memtorch::cuda {
namespace {

bool descending_emulation = false;
void (*launch_hook)(bool) = nullptr;

}  // namespace

void CheckLaunch(const char*) {}

bool DescendingEmulation() { return descending_emulation; }
void SetDescendingEmulation(bool descending) { descending_emulation = descending; }

void SetLaunchHook(void (*hook)(bool)) { launch_hook = hook; }
Launch::Launch() {
  if (launch_hook != nullptr) launch_hook(true);
}
Launch::~Launch() {
  if (launch_hook != nullptr) launch_hook(false);
}

Availability Query() { return {1, ""}; }
std::vector<std::string> Architectures() { return {"emulated"}; }
bool Emulated() { return true; }

DeviceGuard::DeviceGuard(int device) : former_(device) {}
DeviceGuard::~DeviceGuard() = default;

}  // namespace memtorch::cuda
