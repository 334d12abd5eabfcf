#include "engine/parallel.h"

#include <omp.h>

#include <atomic>
#include <exception>

namespace memtorch {
namespace {
thread_local int thread_count = 0;
}  // namespace

void SetNumThreads(int count) { thread_count = count > 0 ? count : 0; }

int NumThreads() { return thread_count > 0 ? thread_count : omp_get_max_threads(); }

void ParallelFor(int64_t n, int64_t grain, const std::function<void(int64_t begin, int64_t end)>& body) {
  if (n <= 0) return;
  if (grain < 1) grain = 1;
  const int64_t chunks = (n + grain - 1) / grain;
  const auto run = [&](int64_t chunk) {
    const int64_t begin = chunk * grain;
    body(begin, begin + grain < n ? begin + grain : n);
  };
  const int threads = static_cast<int>(chunks < NumThreads() ? chunks : NumThreads());
  if (threads == 1 || omp_in_parallel()) {
    for (int64_t chunk = 0; chunk < chunks; ++chunk) run(chunk);
    return;
  }
  std::exception_ptr error;
  std::atomic<bool> failed{false};
#pragma omp parallel for num_threads(threads) schedule(dynamic)
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
    if (failed.load(std::memory_order_relaxed)) continue;
    try {
      run(chunk);
    } catch (...) {
      if (!failed.exchange(true)) error = std::current_exception();
    }
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace memtorch
