// The only threading of the engine: a loop over chunks of [0, n), on OpenMP.
//
// The chunks depend on n and grain alone, never on the number of threads, and results of different chunks are never
// combined by the loop, so that every kernel gives the same bits for any thread count.
#ifndef MEMTORCH_ENGINE_PARALLEL_H_
#define MEMTORCH_ENGINE_PARALLEL_H_

#include <cstdint>
#include <functional>

namespace memtorch {

// Number of threads ParallelFor uses; 0 (the default) means OpenMP's own. Per calling thread.
void SetNumThreads(int count);
int NumThreads();

// Calls body(begin, end) for consecutive chunks of at most `grain` elements covering [0, n). An exception thrown by a
// body stops the loop and is rethrown in the caller.
void ParallelFor(int64_t n, int64_t grain, const std::function<void(int64_t begin, int64_t end)>& body);

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_PARALLEL_H_
