// Counter-based random draws.

#include "engine/random.h"

#include "bindings/arrays.h"

namespace memtorch {
namespace {

using namespace nb::literals;

template <void (*Fill)(uint64_t, uint64_t, int64_t, double*, int64_t)>
void BindFill(uint64_t seed, uint64_t stream, int64_t first, const Flat<double>& out) {
  nb::gil_scoped_release unlocked;
  Fill(seed, stream, first, out.data(), static_cast<int64_t>(out.size()));
}

}  // namespace

void BindRandom(nb::module_& m) {
  m.def("fill_normal", &BindFill<&FillNormal>, "seed"_a, "stream"_a, "first"_a, "out"_a.noconvert(),
        "out[i] = standard normal draw (seed, stream, first + i).");
  m.def("fill_uniform", &BindFill<&FillUniform>, "seed"_a, "stream"_a, "first"_a, "out"_a.noconvert(),
        "out[i] = draw (seed, stream, first + i) from (0, 1).");
}

}  // namespace memtorch
