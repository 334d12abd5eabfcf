// Currents of crossbars whose effective conductances are known, and what they depend on at their sources.
#ifndef MEMTORCH_ENGINE_GRID_CURRENTS_H_
#define MEMTORCH_ENGINE_GRID_CURRENTS_H_

#include "engine/core.h"

namespace memtorch {

// Currents [vectors, cols], amperes, into the senses of a grid with effective conductances [rows, cols], siemens, under
// volts [vectors, rows] at its drivers. Throws std::invalid_argument for shapes that do not fit. Threaded over vectors.
template <class T>
void GridCurrents(MatrixView<const T> effective, MatrixView<const T> volts, MatrixView<T> currents);

// The gradient [vectors, rows] with respect to volts of the sum of upstream [vectors, cols] times GridCurrents, element
// by element. With respect to the effective conductances it is volts^T upstream, from which GridSolver::Gradient and
// WireGradient go on.
template <class T>
void GridSourceGradient(MatrixView<const T> effective, MatrixView<const T> upstream, MatrixView<T> gradient);

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_GRID_CURRENTS_H_
