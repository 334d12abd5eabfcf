// Devices that are stuck: no function of simulate.h moves them, and they carry the current of the state they keep.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine/simulate.h"
#include "tests/cpp/testing/models.h"

namespace memtorch {
namespace {

using testing::Columns;
using testing::RandomVoltages;
using testing::SameBits;
using testing::Variety;

template <class M>
class StuckTest : public ::testing::Test {};
TYPED_TEST_SUITE(StuckTest, testing::ModelTypes, testing::ModelNames);

TYPED_TEST(StuckTest, StuckDevicesKeepStateAndConductanceAndCarryTheCurrentOfThatState) {
  using M = TypeParam;
  const int64_t n = 203, steps = 40;
  const auto v = RandomVoltages(n * steps, testing::WorkingVoltage<M>(), 12);
  for (const bool own_waveforms : {false, true}) {
    const Waveform waveform{v.data(), steps, own_waveforms ? steps : 0, M::kTimeStep};
    for (const Variety variety : {Variety::kShared, Variety::kOtherFormulas, Variety::kPerDevice}) {
      Columns<M> free(n, !own_waveforms);  // float32 and float64 conductances
      Vary(variety, free);
      Simulate(M::kName, free.View(), waveform, {3, 0, 0}, nullptr);
      Columns<M> stuck = free;
      for (int64_t i = 0; i < n; ++i) stuck.stuck.push_back(i % 3 == 0 || i == n - 1);
      const Columns<M> before = stuck;
      const auto of = [&](const Columns<M>& devices, int64_t i) {
        std::vector<double> all = {devices.g32.empty() ? devices.g64[i] : devices.g32[i]};
        for (const auto& column : devices.state) all.push_back(column[i]);
        return all;
      };
      const auto expect = [&](const char* what) {
        for (int64_t i = 0; i < n; ++i) {
          ASSERT_TRUE(SameBits(of(stuck, i), of(stuck.stuck[i] ? before : free, i))) << what << ", device " << i;
        }
      };
      std::vector<double> free_currents(n * steps), currents(n * steps);
      for (const double rel_tol : {0.0, 0.01}) {
        Simulate(M::kName, free.View(), waveform, {4, 0, rel_tol}, free_currents.data());
        Simulate(M::kName, stuck.View(), waveform, {4, 0, rel_tol}, currents.data());
        expect("simulate");
        for (int64_t i = 0; i < n; ++i) {
          const auto p = stuck.ParamsOf(i);
          for (int64_t t = 0; t < steps; ++t) {
            const double volts = v[i * waveform.device_stride + t];
            const double frozen = M::Current(p, M::MakeDrive(p, volts, M::kTimeStep), before.StateOf(i));
            ASSERT_EQ(currents[i * steps + t], stuck.stuck[i] ? frozen : free_currents[i * steps + t]) << i;
          }
        }
      }
      std::vector<float> t32(n);
      std::vector<double> t64(n);
      for (int64_t i = 0; i < n; ++i) t32[i] = t64[i] = 2 / (free.ParamsOf(i).r_on + free.ParamsOf(i).r_off);
      for (Columns<M>* devices : {&free, &stuck}) {
        SetConductance(M::kName, devices->View(), {own_waveforms ? nullptr : t32.data(), t64.data()});
      }
      expect("set_conductance");
      for (Columns<M>* devices : {&free, &stuck}) UpdateConductance(M::kName, devices->View());
      expect("update_conductance");
      for (Columns<M>* devices : {&free, &stuck}) Reset(M::kName, devices->View());
      expect("reset");
    }
  }
}

}  // namespace
}  // namespace memtorch
