// What the headers of engine/cuda are in a build without CUDA.

#include <stdexcept>

#include "engine/cuda/grid.h"
#include "engine/cuda/nodes.h"
#include "engine/cuda/nonlinear_read.h"
#include "engine/cuda/params.h"
#include "engine/cuda/program.h"
#include "engine/cuda/quantize.h"
#include "engine/cuda/random.h"
#include "engine/cuda/read.h"
#include "engine/cuda/runtime.h"
#include "engine/cuda/simulate.h"
#include "engine/cuda/tile.h"
#include "engine/cuda/weights.h"
#include "engine/cuda/wired_read.h"

namespace memtorch::cuda {
namespace {

constexpr const char* kReason = "memtorch was built without CUDA; rebuild with --config=cuda";

[[noreturn]] void Refuse(const char* op) { throw std::runtime_error(std::string("[") + op + "] " + kReason); }

}  // namespace

Availability Query() { return {0, kReason}; }
std::vector<std::string> Architectures() { return {}; }
bool Emulated() { return false; }

DeviceGuard::DeviceGuard(int device) : former_(device) { Refuse("cuda"); }
DeviceGuard::~DeviceGuard() = default;

void Simulate(const std::string&, const DeviceView&, const Waveform&, const SimulateOptions&, double*, void*) {
  Refuse("simulate");
}
void SetConductance(const std::string&, const DeviceView&, const ConductanceColumn&, void*) {
  Refuse("set_conductance");
}
void UpdateConductance(const std::string&, const DeviceView&, void*) { Refuse("update_conductance"); }
void Reset(const std::string&, const DeviceView&, void*) { Refuse("reset"); }

void ReadShape(const std::string&, const DeviceView&, const double*, int64_t, double*, double*, void*) {
  Refuse("read_shape");
}
void ReadNonlinear(const std::string&, const NonlinearRead&, double*, void*) { Refuse("read_nonlinear"); }
void ReadNonlinearGradient(const std::string&, const NonlinearRead&, const double*, double*, double*, void*) {
  Refuse("read_nonlinear_gradient");
}
void ReadSimulated(const std::string&, const NonlinearRead&, const SimulatedReadOptions&, double*, void*) {
  Refuse("read_simulated");
}

void FindBadParams(const std::string&, const DeviceView&, int64_t*, void*) { Refuse("check_params"); }

int64_t ProgramWorkspaceBytes(const TileShape&, const ProgramOptions&) { Refuse("program"); }
void Program(const std::string&, const DeviceView&, const TileShape&, const double*, const uint8_t*,
             const ProgramOptions&, const ProgramReport&, double*, void*, void*) {
  Refuse("program");
}

void FillUniform(uint64_t, uint64_t, int64_t, double*, int64_t, void*) { Refuse("fill_uniform"); }
void FillNormal(uint64_t, uint64_t, int64_t, double*, int64_t, void*) { Refuse("fill_normal"); }
void FillDistributed(const Distribution&, uint64_t, uint64_t, int64_t, double*, int64_t, void*) {
  Refuse("fill_distributed");
}

int64_t SumWeightsWorkspaceBytes(int64_t) { Refuse("sum_weights"); }

int64_t SolveNodesWorkspaceBytes(int64_t, int64_t, int64_t, bool) { Refuse("solve_nodes"); }
void SolveNodes(MatrixView<const double>, const Wires&, const GridSources&, const NodeOptions&, const GridNodes&, void*,
                void*) {
  Refuse("solve_nodes");
}
void SolveNodes(const SinhDevices&, const Wires&, const GridSources&, const NodeOptions&, const GridNodes&, void*,
                void*) {
  Refuse("solve_nodes");
}

int64_t WiredReadWorkspaceBytes(const TileGrid&, int64_t) { Refuse("read_through_wires"); }
void ReadThroughWires(const std::string&, const NonlinearRead&, const Wires&, double*, double*, void*, void*) {
  Refuse("read_through_wires");
}
void ReadThroughWiresGradient(const std::string&, const NonlinearRead&, const Wires&, const double*,
                              const WiredGradients&, double*, void*, void*) {
  Refuse("read_through_wires_gradient");
}
int64_t SimulatedReadWorkspaceBytes(const TileGrid&) { Refuse("read_simulated"); }
void ReadSimulatedThroughWires(const std::string&, const NonlinearRead&, const Wires&, const SimulatedReadOptions&,
                               double*, double*, void*, void*) {
  Refuse("read_simulated");
}

template <class T>
int64_t QuantizeWorkspaceBytes(int64_t) {
  Refuse("quantize");
}
template <class T>
void Quantize(const QuantizeOptions&, const Bounds&, const T*, T*, int64_t, void*, void*) {
  Refuse("quantize");
}
template <class T>
void DigitizeAndSum(const AdcOptions&, const PartialSums<T>&, const std::vector<int64_t>&, T*, void*) {
  Refuse("adc");
}
template <class T>
void ScatterTiles(const TileGrid&, MatrixView<const T>, T, T*, Layout, void*) {
  Refuse("scatter_tiles");
}
template <class T>
void GatherTiles(const TileGrid&, const T*, MatrixView<T>, Layout, void*) {
  Refuse("gather_tiles");
}
template <class T>
void MapWeights(const WeightMap&, const T*, int64_t, T*, T*, void*) {
  Refuse("map_weights");
}
template <class T>
void SumWeights(const WeightDifferences<T>&, double*, void*, void*) {
  Refuse("sum_weights");
}
template <class T>
int64_t ReadWorkspaceBytes(const TileGrid&, const MatrixView<T>&) {
  Refuse("read");
}
template <class T>
void Read(const TileGrid&, const float*, const float*, MatrixView<const T>, const AdcOptions*, MatrixView<T>, void*,
          void*) {
  Refuse("read");
}

#define MT_FOR_TYPE(T)                                                                                            \
  template int64_t QuantizeWorkspaceBytes<T>(int64_t);                                                            \
  template void Quantize(const QuantizeOptions&, const Bounds&, const T*, T*, int64_t, void*, void*);             \
  template void DigitizeAndSum(const AdcOptions&, const PartialSums<T>&, const std::vector<int64_t>&, T*, void*); \
  template void ScatterTiles(const TileGrid&, MatrixView<const T>, T, T*, Layout, void*);                         \
  template void GatherTiles(const TileGrid&, const T*, MatrixView<T>, Layout, void*);                             \
  template void MapWeights(const WeightMap&, const T*, int64_t, T*, T*, void*);                                   \
  template void SumWeights(const WeightDifferences<T>&, double*, void*, void*);                                   \
  template int64_t ReadWorkspaceBytes(const TileGrid&, const MatrixView<T>&);                                     \
  template void Read(const TileGrid&, const float*, const float*, MatrixView<const T>, const AdcOptions*,         \
                     MatrixView<T>, void*, void*);
MT_FOR_TYPE(float)
MT_FOR_TYPE(double)
#undef MT_FOR_TYPE

template <class T>
class GridSolver<T>::Plans {};
template <class T>
GridSolver<T>::GridSolver(int64_t, int64_t, const Wires&) {
  Refuse("grid_solver");
}
template <class T>
GridSolver<T>::~GridSolver() = default;
template <class T>
int64_t GridSolver<T>::EffectiveMatrixWorkspaceBytes(int64_t) const {
  Refuse("effective_matrix");
}
template <class T>
int64_t GridSolver<T>::GradientWorkspaceBytes(int64_t) const {
  Refuse("grid_gradient");
}
template <class T>
template <class G>
void GridSolver<T>::EffectiveMatrix(const GridView<const G>&, const GridView<T>&, void*, int64_t, void*) const {
  Refuse("effective_matrix");
}
template <class T>
template <class G>
void GridSolver<T>::Gradient(const GridView<const G>&, const GridView<const T>&, const GridView<T>&, void*, int64_t,
                             void*) const {
  Refuse("grid_gradient");
}

#define MT_FOR_GRIDS(T, G)                                                                                             \
  template void GridSolver<T>::EffectiveMatrix(const GridView<const G>&, const GridView<T>&, void*, int64_t, void*)    \
      const;                                                                                                           \
  template void GridSolver<T>::Gradient(const GridView<const G>&, const GridView<const T>&, const GridView<T>&, void*, \
                                        int64_t, void*) const;
template class GridSolver<float>;
template class GridSolver<double>;
MT_FOR_GRIDS(float, float)
MT_FOR_GRIDS(float, double)
MT_FOR_GRIDS(double, float)
MT_FOR_GRIDS(double, double)
#undef MT_FOR_GRIDS

}  // namespace memtorch::cuda
