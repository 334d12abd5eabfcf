// Reading a crossbar whose devices follow their own current-voltage curves, with ideal wires (others: wired_read.h).
//
// The current of every model is Shape(v) times its conductance (device_model.h). Where devices share the parameters of
// that shape, a read is an ordinary product of conductances with shaped voltages (ReadShape, read.h); the other
// functions here take devices that differ, and devices that move while they are read.
//
// Devices: the cells of the grid's tiles in storage order. Voltages v [rows, inputs], volts: the transpose of what the
// word lines see, one input vector after the other. Partial currents [tiles down, inputs, cols], amperes: what each row
// of tiles gives, for DigitizeAndSum (quantize.h). Threaded; results do not depend on the number of threads. All throw
// std::invalid_argument naming the argument, before any column is touched.
#ifndef MEMTORCH_ENGINE_NONLINEAR_READ_H_
#define MEMTORCH_ENGINE_NONLINEAR_READ_H_

#include <string>

#include "engine/device_array.h"
#include "engine/tile.h"

namespace memtorch {

// Shapes of n voltages, volts, and their derivatives (null: not wanted), of the one device that `devices` describes by
// its parameters. Throws where a shape would exceed kLargestShape.
void ReadShape(const std::string& model, const DeviceView& devices, const double* v, int64_t n, double* shape,
               double* slope);

// Far above any voltage that a device survives; currents and their sums then stay finite in float32 too.
constexpr double kLargestShape = 1e30;

struct NonlinearRead {
  DeviceView devices;  // g holds the conductances; nothing is written. States may be missing
  TileGrid grid;
  const double* v = nullptr;
  int64_t inputs = 0;
};

// partial = Shape(v) g, summed over the rows of each tile.
void ReadNonlinear(const std::string& model, const NonlinearRead& read, double* partial);

// The derivative of the above: v_grad [rows, inputs] = sum of partial_grad [tiles down, inputs, cols] ShapeSlope(v) g,
// and g_grad [cells] = sum of partial_grad Shape(v), 0 for padding; null: not wanted.
void ReadNonlinearGradient(const std::string& model, const NonlinearRead& read, const double* partial_grad,
                           double* v_grad, double* g_grad = nullptr);

struct SimulatedReadOptions {
  double dt = 0;      // seconds that each input vector is applied, > 0
  uint64_t seed = 0;  // key of the noise draws, keyed by (seed, device, input vector)
};

// Applies the input vectors one after the other: every device, padding cells included (their word lines are at 0 V),
// makes one step and contributes the current that this step records. States and g are updated in place, those of stuck
// devices excepted.
void ReadSimulated(const std::string& model, const NonlinearRead& read, const SimulatedReadOptions& options,
                   double* partial);

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_NONLINEAR_READ_H_
