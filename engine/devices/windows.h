// Window functions: factors that slow the state of a drift model down near its bounds.
//
// x in [0, 1] is the normalised state, p > 0 the exponent. All are 0 at the bound that the state moves towards, so that
// a state that starts exactly there would stay for ever (the "terminal state problem"): callers keep x off the bounds.
#ifndef MEMTORCH_ENGINE_DEVICES_WINDOWS_H_
#define MEMTORCH_ENGINE_DEVICES_WINDOWS_H_

#include "engine/math.h"

namespace memtorch {

// 1 - (2x - 1)^(2p). Y. N. Joglekar and S. J. Wolf, "The elusive memristor: properties of basic electrical circuits",
// European Journal of Physics 30(4), 2009.
MT_HD double Joglekar(double x, double p) {
  const double u = 2 * x - 1;
  return 1 - (p == 1 ? u * u : Pow(Abs(u), 2 * p));
}

// 1 - (x - step(-V))^(2p): 0 at x = 1 under positive and at x = 0 under negative voltage (volts).
// Z. Biolek, D. Biolek and V. Biolkova, "SPICE model of memristor with nonlinear dopant drift", Radioengineering 18(2),
// 2009.
MT_HD double Biolek(double x, double voltage, double p) { return 1 - Pow(Abs(voltage > 0 ? x : 1 - x), 2 * p); }

// j (1 - ((x - 0.5)^2 + 0.75)^p), j > 0 the height. T. Prodromakis, B. P. Peh, C. Papavassiliou and C. Toumazou, "A
// versatile memristor model with nonlinear dopant kinetics", IEEE Transactions on Electron Devices 58(9), 2011.
MT_HD double Prodromakis(double x, double p, double j) {
  const double u = x - 0.5;
  return j * (1 - Pow(u * u + 0.75, p));
}

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_DEVICES_WINDOWS_H_
