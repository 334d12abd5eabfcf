// tile.h on a GPU: matrices and tiles are memory of the current CUDA device.
#ifndef MEMTORCH_ENGINE_CUDA_TILE_H_
#define MEMTORCH_ENGINE_CUDA_TILE_H_

#include "engine/tile.h"

namespace memtorch::cuda {

template <class T>
void ScatterTiles(const TileGrid& grid, MatrixView<const T> matrix, T pad, T* tiles, Layout layout, void* stream);
template <class T>
void GatherTiles(const TileGrid& grid, const T* tiles, MatrixView<T> matrix, Layout layout, void* stream);

}  // namespace memtorch::cuda

#endif  // MEMTORCH_ENGINE_CUDA_TILE_H_
