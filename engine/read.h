// Reading a tiled crossbar with ideal wires, for programs that embed the engine.
//
// Python layers multiply with torch's own operators and share DigitizeAndSum (quantize.h) with this.
#ifndef MEMTORCH_ENGINE_READ_H_
#define MEMTORCH_ENGINE_READ_H_

#include "engine/quantize.h"
#include "engine/tile.h"

namespace memtorch {

// Column currents i [inputs, cols], amperes, of word-line voltages v [inputs, rows], volts:
//   i = sum over tile rows of adc(v_t (g_pos - g_neg)_t)
// g_pos, g_neg: [tiles, tile_rows, tile_cols] siemens; g_neg may be null (one array). adc null: no converters.
template <class T>
void Read(const TileGrid& grid, const float* g_pos, const float* g_neg, MatrixView<const T> v, const AdcOptions* adc,
          MatrixView<T> i);

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_READ_H_
