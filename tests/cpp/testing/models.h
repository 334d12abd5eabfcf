// What tests of device models share: the type list for gtest, columns of devices, and a slow scalar simulation.
#ifndef MEMTORCH_TESTS_CPP_TESTING_MODELS_H_
#define MEMTORCH_TESTS_CPP_TESTING_MODELS_H_

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "engine/device_array.h"
#include "engine/device_model.h"
#include "engine/devices/models.h"
#include "engine/random.h"
#include "engine/simulate.h"

namespace memtorch::testing {

template <class List>
struct GtestTypes;
template <class... M>
struct GtestTypes<ModelList<M...>> {
  using Type = ::testing::Types<M...>;
};
// The models as gtest wants them, and the names of their tests.
using ModelTypes = GtestTypes<Models>::Type;
struct ModelNames {
  template <class M>
  static std::string GetName(int) {
    return M::kName;
  }
};

// The i-th parameter of the table by name.
template <class M>
int ParamNamed(const std::string& name) {
  for (int i = 0; i < kParamCount<M>; ++i) {
    if (name == M::kParams[i].name) return i;
  }
  throw std::logic_error("no parameter " + name);
}

// Columns of n devices of model M, in the state of fresh ones.
template <class M>
struct Columns {
  explicit Columns(int64_t size, bool single = true) : n(size), g32(single ? n : 0), g64(single ? 0 : n) {
    for (const auto& field : M::kParams) params.push_back({field.value});
    state.assign(kStateCount<M>, std::vector<double>(n));
    Reset(M::kName, View());
  }

  // Gives the named parameter one value for all, or a value per device spread around its default by `spread`.
  void Share(const std::string& name, double value) { params[ParamNamed<M>(name)] = {value}; }
  void Spread(const std::string& name, double spread) {
    std::vector<double>& column = params[ParamNamed<M>(name)];
    const double middle = column[0];
    column.resize(n);
    for (int64_t i = 0; i < n; ++i) column[i] = middle * (1 + spread * ((i * 37 % 101) / 50.0 - 1));
  }
  // Writes every shared parameter out as a column of equal values.
  void Expand() {
    for (auto& column : params) column.resize(n, column[0]);
  }

  DeviceView View() {
    DeviceView view;
    view.size = n;
    for (size_t i = 0; i < params.size(); ++i) {
      view.params[i] = {params[i].data(), static_cast<int64_t>(params[i].size()) == n && n != 1 ? 1 : 0};
    }
    for (size_t i = 0; i < state.size(); ++i) view.state[i] = state[i].data();
    view.g.f32 = g32.empty() ? nullptr : g32.data();
    view.g.f64 = g64.empty() ? nullptr : g64.data();
    view.stuck = stuck.empty() ? nullptr : stuck.data();
    return view;
  }

  typename M::Params ParamsOf(int64_t device) const {
    return LoadParams<M>([&](size_t i) { return params[i].size() == 1 ? params[i][0] : params[i][device]; });
  }
  typename M::State StateOf(int64_t device) const {
    return LoadState<M>([&](size_t i) { return state[i][device]; });
  }

  int64_t n;
  std::vector<std::vector<double>> params;
  std::vector<std::vector<double>> state;
  std::vector<float> g32;
  std::vector<double> g64;
  std::vector<uint8_t> stuck;  // [n], or empty: none is
};

// What differs between devices, and which parameters are not the defaults.
enum class Variety { kShared, kOtherFormulas, kPerDevice };

template <class M>
void Vary(Variety variety, Columns<M>& devices) {
  if (variety != Variety::kShared) {
    for (int i = 0; i < kParamCount<M>; ++i) {  // formulas other than the default
      if (M::kParams[i].selects) devices.params[i] = {M::kParams[i].range == Range::kFlag ? 1 : 2.5};
    }
  }
  if (variety == Variety::kPerDevice) {
    devices.Spread("r_on", 0.2);
    devices.Spread("r_off", 0.1);
  }
  Reset(M::kName, devices.View());
}

// Gives the devices conductances all over their ranges.
template <class M>
void SpreadConductances(Columns<M>& devices) {
  std::vector<double> target(devices.n);
  for (int64_t i = 0; i < devices.n; ++i) {
    const auto p = devices.ParamsOf(i);
    target[i] = (0.05 + 0.9 * (i * 29 % 97) / 97.0) * (1 / p.r_on - 1 / p.r_off) + 1 / p.r_off;
  }
  std::vector<float> target32(target.begin(), target.end());
  ConductanceColumn column;
  column.f32 = devices.g32.empty() ? nullptr : target32.data();
  column.f64 = devices.g32.empty() ? target.data() : nullptr;
  SetConductance(M::kName, devices.View(), column);
}

// The conductance of a device as it is stored.
template <class M>
double StoredConductance(const Columns<M>& devices, int64_t device) {
  return devices.g32.empty() ? devices.g64[device] : static_cast<double>(devices.g32[device]);
}

// One device after the other, one sample after the other: what Simulate must equal bit for bit. Returns the currents.
template <class M>
std::vector<double> SlowSimulate(Columns<M>& columns, const Waveform& waveform, const SimulateOptions& options = {}) {
  std::vector<double> currents;
  for (int64_t device = 0; device < columns.n; ++device) {
    const typename M::Params p = columns.ParamsOf(device);
    typename M::State s = columns.StateOf(device);
    double current = 0;
    for (int64_t t = 0; t < waveform.steps; ++t) {
      const double v = waveform.v[device * waveform.device_stride + t];
      const double normal = M::UsesNoise(p) ? Normal(options.seed, options.first_device + device, t) : 0;
      current = Step<M>(p, M::MakeDrive(p, v, waveform.dt), s, current, normal);
      currents.push_back(current);
    }
    StoreState<M>(s, [&](size_t i, double value) { columns.state[i][device] = value; });
    const double g = M::Conductance(p, s);
    if (!columns.g32.empty()) columns.g32[device] = static_cast<float>(g);
    if (!columns.g64.empty()) columns.g64[device] = g;
  }
  return currents;
}

// Equal to the last bit, NaN included.
template <class T>
::testing::AssertionResult SameBits(const std::vector<T>& a, const std::vector<T>& b) {
  if (a.size() != b.size()) return ::testing::AssertionFailure() << a.size() << " against " << b.size() << " values";
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::memcmp(&a[i], &b[i], sizeof(T)) != 0) {
      return ::testing::AssertionFailure() << "value " << i << ": " << a[i] << " against " << b[i];
    }
  }
  return ::testing::AssertionSuccess();
}

template <class M>
::testing::AssertionResult SameDevices(const Columns<M>& a, const Columns<M>& b) {
  for (size_t i = 0; i < a.state.size(); ++i) {
    const auto same = SameBits(a.state[i], b.state[i]);
    if (!same) return same;
  }
  const auto same = SameBits(a.g32, b.g32);
  return same ? SameBits(a.g64, b.g64) : same;
}

// Equal up to a part of the largest value.
template <class T>
void ExpectNear(const std::vector<T>& got, const std::vector<T>& want, double part) {
  ASSERT_EQ(got.size(), want.size());
  double largest = 0;
  for (const T value : want) largest = std::fmax(largest, std::fabs(static_cast<double>(value)));
  for (size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got[i], want[i], part * largest) << "value " << i;
}

// The same of each column.
template <class M>
void ExpectNear(const Columns<M>& got, const Columns<M>& want, double part) {
  for (size_t i = 0; i < want.state.size(); ++i) ExpectNear(got.state[i], want.state[i], part);
  ExpectNear(got.g32, want.g32, part);
  ExpectNear(got.g64, want.g64, part);
}

// n voltages in [-amplitude, amplitude], some exactly 0; a slow random walk, so that devices cross their whole range.
inline std::vector<double> RandomVoltages(int64_t n, double amplitude, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> uniform(-1, 1);
  std::vector<double> v(n);
  double level = 0;
  for (auto& value : v) {
    level = 0.9 * level + 0.5 * uniform(random);
    value = random() % 8 == 0 ? 0 : amplitude * (level < -1 ? -1 : (level > 1 ? 1 : level));
  }
  return v;
}

// A voltage of which the model moves visibly in one default time step, volts.
template <class M>
double WorkingVoltage() {
  return std::string(M::kName) == "LinearIonDrift" ? 5 : (std::string(M::kName) == "Stanford_PKU" ? 2 : 1.5);
}

}  // namespace memtorch::testing

#endif  // MEMTORCH_TESTS_CPP_TESTING_MODELS_H_
