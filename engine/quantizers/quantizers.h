// The list of quantizers. To add one: its header, and its name here.
#ifndef MEMTORCH_ENGINE_QUANTIZERS_QUANTIZERS_H_
#define MEMTORCH_ENGINE_QUANTIZERS_QUANTIZERS_H_

#include "engine/quantizers/linear.h"
#include "engine/quantizers/log.h"
#include "engine/quantizers/minmax.h"
#include "engine/quantizers/tanh.h"

namespace memtorch {

template <class... Q>
struct QuantizerList {
  static constexpr int kSize = sizeof...(Q);
};

using Quantizers = QuantizerList<LinearQuantizer, LogQuantizer, LogMinMaxQuantizer, MinMaxQuantizer, TanhQuantizer>;

// Calls visit(Q{}) with the quantizer of the given number.
template <class Visitor, class... Q>
void VisitQuantizer(QuantizerList<Q...>, int number, const Visitor& visit) {
  int k = 0;
  ((k++ == number ? visit(Q{}) : void()), ...);
}

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_QUANTIZERS_QUANTIZERS_H_
