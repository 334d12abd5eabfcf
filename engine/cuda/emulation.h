// A GPU emulated on the host, for tests: what launch.h stands on where nvcc does not compile it.
//
// There are two emulations of the same functors. :emulated runs the threads of a block as loops, from one barrier to the
// next, in two orders. :emulated_threads gives every thread of a block a stack of its own on which it runs the functor
// as a thread of a GPU would (MT_EMULATED_THREADS), and is compiled with ThreadSanitizer, which reports what two threads
// touch without a barrier in between.
#ifndef MEMTORCH_ENGINE_CUDA_EMULATION_H_
#define MEMTORCH_ENGINE_CUDA_EMULATION_H_

#include <cstdint>

namespace memtorch::cuda {

// Whether threads run from the last to the first. What depends on the order has a race on the GPU; tests run in both.
bool DescendingEmulation();
void SetDescendingEmulation(bool descending);

// hook(true) before the work of every launch, hook(false) after it; null: nothing. Tests keep the memory of the emulated
// GPU locked in between, since the host cannot touch that of a real one.
void SetLaunchHook(void (*hook)(bool running));

// The work of one launch.
class Launch {
 public:
  Launch();
  ~Launch();
  Launch(const Launch&) = delete;
  Launch& operator=(const Launch&) = delete;
};

#if defined(MT_EMULATED_THREADS)

// body(context) on `threads` threads, numbered by EmulatedThread(). They take turns and change where they meet. Throws
// std::logic_error if they do not all meet at the same place. Two calls are not in order, as two blocks are not, until
// JoinThreads(): they must share nothing that somebody writes, and `context` stays as it is.
void RunThreads(int threads, void (*body)(const void* context), const void* context);
void JoinThreads();

int EmulatedThread();

// The barrier of a block. `place` and `count` must be the same on all of its threads: the barriers of a GPU do not know
// which of them a thread has got to.
void Meet(const void* place, int64_t count);

// As Meet, but what threads do before it is not in order with what others do after it: warps that meet alone, and that
// need a barrier besides.
void MeetUnordered(const void* place, int64_t count);

// An address for every kind of body, and so for every call that is given one.
template <class Body>
inline char meeting_place = 0;

#endif

}  // namespace memtorch::cuda

#endif  // MEMTORCH_ENGINE_CUDA_EMULATION_H_
