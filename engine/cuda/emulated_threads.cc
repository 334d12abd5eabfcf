// The threads of a block of an emulated GPU, as contexts that take turns on one thread of the host.
//
// ThreadSanitizer is told of every change from one to another, and that nothing but a meeting orders what they do. This
// file is not compiled with it: the contexts' own bookkeeping is nobody's race.

#include <sanitizer/tsan_interface.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <cstdlib>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "engine/cuda/emulation.h"

namespace memtorch::cuda {
namespace {

constexpr size_t kStackBytes = 512 * 1024;  // of which memory is used where something is written
constexpr unsigned kNoOrder = __tsan_switch_to_fiber_no_sync;

struct Context {
  ucontext_t start;
  bool started = false;
  void* place[5];         // where it goes on, for __builtin_longjmp
  void* known = nullptr;  // to ThreadSanitizer
};

struct Thread {
  Context context;
  int number = 0;
  bool done = false;
  const void* meeting = nullptr;
  int64_t count = 0;
};

// Not swapcontext, which asks the system for the signal mask every time: ten times as long.
__attribute__((noinline)) void Change(Context* from, Context* to) {
  __tsan_switch_to_fiber(to->known, kNoOrder);
  if (__builtin_setjmp(from->place) != 0) return;
  if (to->started) __builtin_longjmp(to->place, 1);
  to->started = true;
  setcontext(&to->start);
}

// What all that meet release and then acquire: a place of memory that ThreadSanitizer knows by its address. Each meeting
// has another, since who comes late to the next one must not seem to come before who is late from this one; so many, that
// a place is used again when its last meeting is long past.
class MeetingPlaces {
 public:
  char* At(int64_t meeting) { return places_ + meeting % kPlaces; }

 private:
  static constexpr int64_t kPlaces = 4096;
  char places_[kPlaces];
};

class Threads {
 public:
  void Run(int threads, void (*body)(const void*), const void* context) {
    host_.known = __tsan_get_current_fiber();
    host_.started = true;
    descending_ = DescendingEmulation();
    body_ = body;
    argument_ = context;
    Number(threads);
    __tsan_release(places_.At(meeting_));
    do {
      turn_ = 0;
      Change(&host_, &Next()->context);
      ++meeting_;
    } while (!HaveAllEnded());
  }

  void Join() { __tsan_acquire(&ended_); }

  void Meet(const void* place, int64_t count) {
    char* const here = places_.At(meeting_ + 1);
    __tsan_release(here);
    MeetUnordered(place, count);
    __tsan_acquire(here);
  }

  void MeetUnordered(const void* place, int64_t count) {
    Thread* const self = running_;
    self->meeting = place;
    self->count = count;
    Leave(self);
  }

  int number() const { return running_->number; }

 private:
  // Contexts are used again, by every second block: that a block and the next one have none in common keeps the meetings
  // of the one from putting the other in order.
  void Number(int threads) {
    std::vector<std::unique_ptr<Thread>>& pool = pools_[block_++ % 2];
    while (pool.size() < static_cast<size_t>(threads)) {
      pool.push_back(std::make_unique<Thread>());
      pool.back()->number = static_cast<int>(pool.size()) - 1;
      Make(pool.back().get());
    }
    by_number_.clear();
    for (int k = 0; k < threads; ++k) {
      by_number_.push_back(pool[static_cast<size_t>(k)].get());
      by_number_.back()->done = false;
    }
  }

  void Make(Thread* thread) {
    void* const stack =
        mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stack == MAP_FAILED || getcontext(&thread->context.start) != 0) throw std::bad_alloc();
    thread->context.start.uc_stack.ss_sp = stack;
    thread->context.start.uc_stack.ss_size = kStackBytes;
    thread->context.start.uc_link = nullptr;
    thread->context.known = __tsan_create_fiber(0);
    makecontext(&thread->context.start, &Threads::Main, 0);
  }

  // A context runs one body after the other and never ends.
  static void Main();
  [[noreturn]] void Loop() {
    for (;;) {
      __tsan_acquire(places_.At(meeting_));
      body_(argument_);
      __tsan_release(&ended_);
      running_->done = true;
      Leave(running_);
    }
  }

  Thread* Next() {
    const size_t k = turn_++;
    return running_ = by_number_[descending_ ? by_number_.size() - 1 - k : k];
  }
  // From a thread to the next one, or to the host when all have had their turn.
  void Leave(Thread* self) { Change(&self->context, turn_ < by_number_.size() ? &Next()->context : &host_); }

  bool HaveAllEnded() {
    const Thread& first = *by_number_.front();
    for (const Thread* thread : by_number_) {
      const bool same = thread->done == first.done &&
                        (first.done || (thread->meeting == first.meeting && thread->count == first.count));
      if (same) continue;
      const std::string numbers = "threads 0 and " + std::to_string(thread->number);
      __tsan_acquire(places_.At(meeting_));
      Join();
      // They stay where they are for good, and so do their stacks.
      for (auto& pool : pools_) {
        for (auto& lost : pool) static_cast<void>(lost.release());
        pool.clear();
      }
      throw std::logic_error("[emulation] " + numbers + " of a block must meet at the same place");
    }
    return first.done;
  }

  Context host_;
  std::vector<std::unique_ptr<Thread>> pools_[2];
  std::vector<Thread*> by_number_;
  Thread* running_ = nullptr;
  void (*body_)(const void*) = nullptr;
  const void* argument_ = nullptr;
  bool descending_ = false;
  size_t turn_ = 0;  // threads that have had theirs
  int64_t block_ = 0;
  MeetingPlaces places_;
  int64_t meeting_ = 0;
  char ended_ = 0;
};

// Never destroyed: its contexts do not end.
Threads& AllThreads() {
  static Threads& threads = *new Threads;
  return threads;
}

void Threads::Main() { AllThreads().Loop(); }

}  // namespace

void RunThreads(int threads, void (*body)(const void*), const void* context) {
  AllThreads().Run(threads, body, context);
}
void JoinThreads() { AllThreads().Join(); }
int EmulatedThread() { return AllThreads().number(); }
void Meet(const void* place, int64_t count) { AllThreads().Meet(place, count); }
void MeetUnordered(const void* place, int64_t count) { AllThreads().MeetUnordered(place, count); }

}  // namespace memtorch::cuda
