// Memory of an emulated GPU: the host's, locked but for launches and copies, as the host cannot touch that of a GPU.
//
// An array ends where a locked page begins (but for its alignment), so that what reads or writes beyond it is found too.

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <new>
#include <stdexcept>

#include "engine/cuda/emulation.h"
#include "tests/cpp/cuda/gpu.h"

namespace memtorch::testing {
namespace {

constexpr size_t kAlignment = 16;  // what kernels may count on

struct Pages {
  void* first;
  size_t bytes;  // without the page that stays locked
};

class Memory {
 public:
  Memory() {
    cuda::SetLaunchHook([](bool running) { All().Lock(!running); });
  }
  static Memory& All() {
    static Memory memory;
    return memory;
  }

  void* Allocate(size_t bytes) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t whole = (bytes + page - 1) / page * page;
    void* const first = mmap(nullptr, whole + page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (first == MAP_FAILED) throw std::bad_alloc();
    char* const data = static_cast<char*>(first) + (whole - bytes) / kAlignment * kAlignment;
    pages_[data] = {first, whole};
    return data;
  }

  void Free(void* data) {
    const Pages& pages = pages_.at(data);
    munmap(pages.first, pages.bytes + static_cast<size_t>(sysconf(_SC_PAGESIZE)));
    pages_.erase(data);
  }

  void Lock(bool locked) {
    for (const auto& [data, pages] : pages_) Lock(pages, locked);
  }

  void Copy(void* to, const void* from, size_t bytes) {
    Lock(false);
    std::memcpy(to, from, bytes);
    Lock(true);
  }

 private:
  static void Lock(const Pages& pages, bool locked) {
    if (mprotect(pages.first, pages.bytes, locked ? PROT_NONE : PROT_READ | PROT_WRITE) != 0) {
      throw std::runtime_error("the memory of the emulated GPU cannot be locked");
    }
  }

  std::map<void*, Pages> pages_;
};

}  // namespace

void* GpuAllocate(size_t bytes) { return Memory::All().Allocate(bytes); }
void GpuFree(void* memory) { Memory::All().Free(memory); }
void GpuCopyIn(void* gpu, const void* host, size_t bytes) { Memory::All().Copy(gpu, host, bytes); }
void GpuCopyOut(void* host, const void* gpu, size_t bytes) { Memory::All().Copy(host, gpu, bytes); }

}  // namespace memtorch::testing
