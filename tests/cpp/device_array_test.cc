#include "engine/device_array.h"

#include <gtest/gtest.h>

#include <utility>

#include "engine/simulate.h"
#include "tests/cpp/testing/errors.h"

namespace memtorch {
namespace {

using testing::ErrorOf;

TEST(DeviceArrayTest, HoldsFreshDevices) {
  DeviceArray devices("VTEAM", 5);
  EXPECT_EQ(devices.model(), "VTEAM");
  EXPECT_EQ(devices.size(), 5);
  EXPECT_EQ(devices.g(), std::vector<float>(5, 1 / 50.0f));
  const DeviceView view = devices.view();
  EXPECT_EQ(view.size, 5);
  EXPECT_EQ(view.params[1].data[0], 50);
  EXPECT_EQ(view.params[1].stride, 0);
  EXPECT_EQ(view.state[0][4], 0);
  EXPECT_EQ(view.g.f64, nullptr);
}

TEST(DeviceArrayTest, TakesParametersByName) {
  DeviceArray devices("VTEAM", 2, {{"r_on", 1e3}, {"r_off", 1e5}});
  EXPECT_EQ(devices.g()[0], 1e-3f);
  EXPECT_EQ(devices.view().params[0].data[0], 1e5);
}

TEST(DeviceArrayTest, GivesEachDeviceItsOwnValue) {
  DeviceArray devices("VTEAM", 3);
  devices.SetParam("r_on", {10, 20, 40});
  EXPECT_EQ(devices.view().params[1].stride, 1);
  Reset("VTEAM", devices.view());
  EXPECT_EQ(devices.g(), (std::vector<float>{0.1f, 0.05f, 0.025f}));
}

TEST(DeviceArrayTest, StuckDevicesKeepTheirConductance) {
  DeviceArray devices("VTEAM", 3);
  EXPECT_EQ(devices.view().stuck, nullptr);
  devices.SetStuck({0, 1, 0});
  std::vector<float> target = {1 / 100.0f, 1 / 100.0f, 1 / 200.0f};
  SetConductance("VTEAM", devices.view(), {target.data(), nullptr});
  EXPECT_EQ(devices.g(), (std::vector<float>{1 / 100.0f, 1 / 50.0f, 1 / 200.0f}));
  EXPECT_EQ(ErrorOf([&] { devices.SetStuck({1}); }),
            "[DeviceArray] stuck (1 values) must hold one for each of the 3 devices");
}

TEST(DeviceArrayTest, CopiesAreIndependent) {
  DeviceArray devices("Data_Driven", 2);
  DeviceArray copy = devices;
  const float target[] = {1e-4f, 1e-4f};
  std::vector<float> g(target, target + 2);
  SetConductance("Data_Driven", copy.view(), {g.data(), nullptr});
  EXPECT_EQ(copy.g()[0], 1e-4f);
  EXPECT_EQ(devices.g()[0], 1 / 1280.0f);
  const DeviceArray moved = std::move(copy);
  EXPECT_EQ(moved.g()[1], 1e-4f);
}

TEST(DeviceArrayTest, MayBeEmpty) {
  DeviceArray devices("Stanford_PKU", 0);
  EXPECT_EQ(devices.size(), 0);
  const double v[] = {1};
  Simulate("Stanford_PKU", devices.view(), {v, 1, 0, 1e-4}, {}, nullptr);
}

TEST(DeviceArrayTest, NamesWhatIsWrong) {
  EXPECT_EQ(ErrorOf([] { DeviceArray("vteam", 1); }),
            "[DeviceArray] model ('vteam') must be one of LinearIonDrift, VTEAM, Stanford_PKU, Data_Driven, "
            "Data_Driven2021");
  EXPECT_EQ(ErrorOf([] { DeviceArray("LinearIonDrift", 1, {{"mu", 1}}); }),
            "[DeviceArray] LinearIonDrift has no parameter 'mu'; it has u_v, d, r_on, r_off, pos_write_threshold, "
            "neg_write_threshold, p");
  EXPECT_EQ(ErrorOf([] { DeviceArray("VTEAM", -1); }), "[DeviceArray] size (-1) must be at least 0");
  EXPECT_EQ(ErrorOf([] { DeviceArray("VTEAM", 1, {{"r_on", -5}}); }),
            "[DeviceArray] r_on (-5 ohm) must be finite and above 0");
  EXPECT_EQ(ErrorOf([] { DeviceArray("VTEAM", 1, {{"r_on", 2000}}); }),
            "[DeviceArray] r_on (2000 ohm) must be below r_off (1000 ohm)");
}

TEST(DeviceArrayTest, KeepsItsValuesWhenNewOnesAreWrong) {
  DeviceArray devices("VTEAM", 3);
  EXPECT_EQ(ErrorOf([&] { devices.SetParam("r_on", {10, 20}); }),
            "[DeviceArray] values of r_on (2) must be one for each of the 3 devices");
  EXPECT_EQ(ErrorOf([&] { devices.SetParam("r_on", {10, 20, 0}); }),
            "[DeviceArray] r_on of device 2 (0 ohm) must be finite and above 0");
  EXPECT_EQ(ErrorOf([&] { devices.SetParam("r_on", {10, 5000, 6000}); }),
            "[DeviceArray] device 1: r_on (5000 ohm) must be below r_off (1000 ohm)");
  EXPECT_EQ(devices.view().params[1].stride, 0);
  EXPECT_EQ(devices.view().params[1].data[0], 50);
}

}  // namespace
}  // namespace memtorch
