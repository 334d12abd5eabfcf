// A crossbar of VTEAM devices on one page: program a matrix of conductances, read it with and without converters.
//
// Builds against //engine alone:  bazel run //examples/cpp:crossbar
#include <cstdio>
#include <exception>
#include <vector>

#include "engine/device_array.h"
#include "engine/quantize.h"
#include "engine/read.h"
#include "engine/simulate.h"
#include "engine/tile.h"

int main() try {
  // 4 word lines x 3 bit lines on tiles of 2 x 2: two tiles down, two across, with a column of padding cells.
  const memtorch::TileGrid grid{4, 3, 2, 2};
  const std::vector<float> matrix = {2e-3f, 5e-3f,  11e-3f, 7e-3f, 3e-3f, 19e-3f,
                                     4e-3f, 17e-3f, 6e-3f,  9e-3f, 8e-3f, 13e-3f};  // siemens
  const std::vector<float> voltages = {0.30f, -0.10f, 0.20f, 0.05f};

  memtorch::DeviceArray devices("VTEAM", grid.cells(), {{"r_on", 50}, {"r_off", 1000}});
  std::vector<float> target(static_cast<size_t>(grid.cells()));
  memtorch::ScatterTiles<float>(grid, {matrix.data(), 4, 3, 3}, 1 / 1000.0f, target.data());
  memtorch::SetConductance("VTEAM", devices.view(), {target.data(), nullptr});

  std::vector<float> ideal(3), digitised(3);
  const memtorch::MatrixView<const float> v{voltages.data(), 1, 4, 4};
  const memtorch::AdcOptions adc{"linear", 8};  // one converter per tile, its range taken from the tile's currents
  memtorch::Read(grid, devices.g().data(), nullptr, v, nullptr, {ideal.data(), 1, 3, 3});
  memtorch::Read(grid, devices.g().data(), nullptr, v, &adc, {digitised.data(), 1, 3, 3});

  for (size_t i = 0; i < 4; ++i) {
    std::printf("word line %zu: %5.2f V, conductances", i, voltages[i]);
    for (int64_t j = 0; j < 3; ++j) std::printf(" %7.4f mS", 1e3 * devices.g()[grid.offset(i, j)]);
    std::printf("\n");
  }
  for (size_t j = 0; j < 3; ++j) {
    std::printf("bit line %zu: %8.5f mA, through 8-bit converters %8.5f mA\n", j, 1e3 * ideal[j], 1e3 * digitised[j]);
  }
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
