// Counter-based random draws.

#include "engine/random.h"

#include "bindings/arrays.h"
#include "bindings/place.h"
#include "engine/cuda/random.h"

namespace memtorch {
namespace {

using namespace nb::literals;

template <void (*Fill)(uint64_t, uint64_t, int64_t, double*, int64_t),
          void (*FillOnGpu)(uint64_t, uint64_t, int64_t, double*, int64_t, void*)>
void BindFill(uint64_t seed, uint64_t stream, int64_t first, const Placed<double>& out) {
  const int64_t size = static_cast<int64_t>(out.size());
  Place("random", out)
      .Run([&](void* queue) { FillOnGpu(seed, stream, first, out.data(), size, queue); },
           [&] { Fill(seed, stream, first, out.data(), size); });
}

}  // namespace

void BindRandom(nb::module_& m) {
  m.def("fill_normal", &BindFill<&FillNormal, &cuda::FillNormal>, "seed"_a, "stream"_a, "first"_a, "out"_a.noconvert(),
        "out[i] = standard normal draw (seed, stream, first + i).");
  m.def("fill_uniform", &BindFill<&FillUniform, &cuda::FillUniform>, "seed"_a, "stream"_a, "first"_a,
        "out"_a.noconvert(), "out[i] = draw (seed, stream, first + i) from (0, 1).");
}

}  // namespace memtorch
