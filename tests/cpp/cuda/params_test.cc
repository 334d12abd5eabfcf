// engine/cuda/params.h finds what CheckParams of engine/simulate.h complains of, and of which device first.

#include "engine/cuda/params.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "engine/simulate.h"
#include "tests/cpp/cuda/columns.h"
#include "tests/cpp/cuda/gpu.h"
#include "tests/cpp/testing/errors.h"
#include "tests/cpp/testing/models.h"

namespace memtorch {
namespace {

using testing::Columns;
using testing::ErrorOf;
using testing::GpuColumns;
using testing::OnGpu;

class CudaParamsTest : public testing::GpuTest {};

template <class M>
int64_t Found(const Columns<M>& columns) {
  GpuColumns<M> gpu(columns);
  const OnGpu<int64_t> found(std::vector<int64_t>{12345});
  cuda::FindBadParams(M::kName, gpu.View(), found.data(), nullptr);
  return found.Get()[0];
}

// The columns of one device, its parameters still columns.
template <class M>
DeviceView RowOf(Columns<M>& columns, int64_t device) {
  DeviceView view = columns.View();
  view.size = 1;
  for (int i = 0; i < kParamCount<M>; ++i) view.params[i].data += device * view.params[i].stride;
  return view;
}

// That the CPU complains of all devices in the words in which it complains of the one that was found.
template <class M>
void ExpectSameComplaint(Columns<M>& columns, int64_t bad) {
  const int64_t found = Found(columns);
  ASSERT_GE(found, 0);
  EXPECT_EQ(found % columns.n, bad);
  const std::string of_all = ErrorOf([&] { CheckParams("op", M::kName, columns.View()); });
  EXPECT_NE(of_all, "");
  EXPECT_EQ(ErrorOf([&] { CheckParams("op", M::kName, RowOf(columns, bad), bad); }), of_all);
}

TEST_P(CudaParamsTest, AcceptsWhatTheCpuAccepts) {
  ForEachModel([](auto m) {
    using M = decltype(m);
    for (const testing::Variety variety :
         {testing::Variety::kShared, testing::Variety::kOtherFormulas, testing::Variety::kPerDevice}) {
      for (const int64_t n : {1, 33, 1000}) {
        Columns<M> columns(n);
        testing::Vary(variety, columns);
        EXPECT_EQ(Found(columns), -1) << M::kName;
      }
    }
    EXPECT_EQ(Found(Columns<M>(0)), -1);
  });
}

TEST_P(CudaParamsTest, FindsEveryParameterThatIsOutOfItsRange) {
  ForEachModel([](auto m) {
    using M = decltype(m);
    for (int i = 0; i < kParamCount<M>; ++i) {
      for (const double value : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
                                 1e60, -1e-60, M::kParams[i].range == Range::kNegative ? 1.0 : -1.0, 0.5}) {
        if (InRange(M::kParams[i].range, value)) continue;
        SCOPED_TRACE(std::string(M::kName) + ' ' + M::kParams[i].name + ' ' + std::to_string(value));
        Columns<M> columns(300);
        columns.Spread(M::kParams[i].name, 0);
        columns.params[i][257] = columns.params[i][258] = value;
        ExpectSameComplaint(columns, 257);
      }
    }
  });
}

TEST_P(CudaParamsTest, TheFirstParameterOfTheTableComesBeforeTheFirstDevice) {
  Columns<Vteam> columns(100);
  for (const char* name : {"r_on", "r_off"}) columns.Spread(name, 0);
  const int r_on = testing::ParamNamed<Vteam>("r_on"), r_off = testing::ParamNamed<Vteam>("r_off");
  columns.params[std::max(r_on, r_off)][3] = -1;
  columns.params[std::min(r_on, r_off)][60] = -1;
  columns.params[std::min(r_on, r_off)][61] = -1;
  ExpectSameComplaint(columns, 60);
}

TEST_P(CudaParamsTest, WhatDoesNotGoTogetherComesLast) {
  ForEachModel([](auto m) {
    using M = decltype(m);
    SCOPED_TRACE(M::kName);
    Columns<M> columns(70);
    columns.Spread("r_on", 0);
    std::vector<double>& r_on = columns.params[testing::ParamNamed<M>("r_on")];
    r_on[5] = r_on[64] = 1e9;  // above any r_off
    ExpectSameComplaint(columns, 5);
    r_on[69] = -1;
    ExpectSameComplaint(columns, 69);
  });
}

TEST_P(CudaParamsTest, SharedParametersAreLookedAtToo) {
  Columns<Vteam> columns(40);
  columns.Spread("r_on", 0.1);
  columns.Share("r_off", -5);
  ExpectSameComplaint(columns, 0);
}

TEST_P(CudaParamsTest, NamesAnUnknownModel) {
  EXPECT_EQ(ErrorOf([] { cuda::FindBadParams("VTEMA", {}, nullptr, nullptr); }),
            ErrorOf([] { CheckParams("check_params", "VTEMA", {}); }));
}

MT_GPU_SUITE(CudaParamsTest);

}  // namespace
}  // namespace memtorch
