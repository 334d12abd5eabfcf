// Counter-based random draws.

#include "engine/random.h"

#include <nanobind/stl/string.h>

#include <string>

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

Distribution::Kind KindOf(const std::string& name) {
  if (name == "uniform") return Distribution::Kind::kUniform;
  if (name == "normal") return Distribution::Kind::kNormal;
  if (name == "log_normal") return Distribution::Kind::kLogNormal;
  Invalid("random", "distribution ('", name, "') must be 'uniform', 'normal' or 'log_normal'");
}

void BindFillDistributed(uint64_t seed, uint64_t stream, int64_t first, const Placed<double>& out,
                         const std::string& distribution, double loc, double scale, double min, double max) {
  const int64_t size = static_cast<int64_t>(out.size());
  const Distribution of{KindOf(distribution), loc, scale, min, max};
  Place("random", out)
      .Run([&](void* queue) { cuda::FillDistributed(of, seed, stream, first, out.data(), size, queue); },
           [&] { FillDistributed(of, seed, stream, first, out.data(), size); });
}

}  // namespace

void BindRandom(nb::module_& m) {
  m.def("fill_normal", &BindFill<&FillNormal, &cuda::FillNormal>, "seed"_a, "stream"_a, "first"_a, "out"_a.noconvert(),
        "out[i] = standard normal draw (seed, stream, first + i).");
  m.def("fill_uniform", &BindFill<&FillUniform, &cuda::FillUniform>, "seed"_a, "stream"_a, "first"_a,
        "out"_a.noconvert(), "out[i] = draw (seed, stream, first + i) from (0, 1).");
  m.def("fill_distributed", &BindFillDistributed, "seed"_a, "stream"_a, "first"_a, "out"_a.noconvert(),
        "distribution"_a, "loc"_a, "scale"_a, "min"_a, "max"_a,
        "out[i] = loc + scale * draw (seed, stream, first + i) within [min, max]: 'uniform' or 'normal', or e to the "
        "power of it, 'log_normal'.");
}

}  // namespace memtorch
