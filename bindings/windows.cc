// Window functions.

#include "engine/devices/windows.h"

#include "bindings/arrays.h"

namespace memtorch {
namespace {

using namespace nb::literals;

template <class Window>
void ApplyWindow(const char* op, const Flat<const double>& x, const Flat<double>& out, Window&& window) {
  CheckSize(op, "out", out, static_cast<int64_t>(x.size()));
  for (size_t i = 0; i < x.size(); ++i) out.data()[i] = window(x.data()[i]);
}

}  // namespace

void BindWindows(nb::module_& m) {
  m.def(
      "joglekar",
      [](Flat<const double> x, double p, Flat<double> out) {
        ApplyWindow("joglekar", x, out, [=](double xi) { return Joglekar(xi, p); });
      },
      "x"_a, "p"_a, "out"_a.noconvert(), "Joglekar's window of x [n] into out [n].");
  m.def(
      "biolek",
      [](Flat<const double> x, Flat<const double> voltage, double p, Flat<double> out) {
        CheckSize("biolek", "voltage", voltage, static_cast<int64_t>(x.size()));
        CheckSize("biolek", "out", out, static_cast<int64_t>(x.size()));
        for (size_t i = 0; i < x.size(); ++i) out.data()[i] = Biolek(x.data()[i], voltage.data()[i], p);
      },
      "x"_a, "voltage"_a, "p"_a, "out"_a.noconvert(), "Biolek's window of x [n] under voltage [n] into out [n].");
  m.def(
      "prodromakis",
      [](Flat<const double> x, double p, double j, Flat<double> out) {
        ApplyWindow("prodromakis", x, out, [=](double xi) { return Prodromakis(xi, p, j); });
      },
      "x"_a, "p"_a, "j"_a, "out"_a.noconvert(), "Prodromakis' window of x [n] into out [n].");
}

}  // namespace memtorch
