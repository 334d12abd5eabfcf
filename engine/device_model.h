// What a device model is, and the one place that says in which order it steps.
//
// A model is a struct that is never instantiated. It names its parameters and state in tables (the only lists of
// names, defaults, units and allowed ranges: bindings, Python classes, docs and error messages read them) and gives
// five static functions, each branch-free where possible so that a loop over devices vectorises:
//
//   struct Vteam {
//     static constexpr const char* kName = "VTEAM";
//     static constexpr const char* kSummary = "...";       one line
//     static constexpr const char* kReference = "...";     the paper
//     static constexpr double kTimeStep = 1e-10;           default time_series_resolution, s
//     static constexpr int kPolarity = -1;                 sign of the voltage that raises the conductance
//     static constexpr PulseSet kPulses = {...};           programs every conductance in its range, default parameters
//     static constexpr bool kReadsFirst = false;           a sample records its current before the update, or after it
//     struct Params { double r_off, r_on, ...; };          doubles only
//     struct State { double x; };                          doubles only; the columns of a DeviceArray
//     static constexpr Field<Params> kParams[] = {...};    in the order of the 1.1.6 signature
//     static constexpr Field<State> kState[] = {...};
//     static void Derive(Params&);                         what follows from the parameters alone
//     struct Drive { double v, ...; };                     all that follows from voltage, time step and parameters
//                                                          alone: computed once per sample where devices share both
//     static Drive MakeDrive(const Params&, double v, double dt);
//     static void Advance(const Params&, const Drive&, State&, double last_current, double normal);
//     static double Current(const Params&, const Drive&, const State&);    amperes
//     static double Conductance(const Params&, const State&);              siemens, what `g` holds
//     static double Shape(const Params&, double v);        of the I-V curve, volts: Current = Shape(v) * Conductance in
//                                                          every state
//     static double ShapeSlope(const Params&, double v);   its derivative
//     static State FromConductance(const Params&, double g);               its inverse, g within [1/r_off, 1/r_on]
//     static State Initial(const Params&);                                 a fresh device
//     static bool UsesNoise(const Params&);                                whether Advance reads `normal`
//     static bool Holds(const Params&, const Drive&);      whether the drive moves no state within its bounds (noise
//                                                          apart); false is always allowed. Between two voltages at
//                                                          which it is true it is true
//     static Mismatch Conflict(const Params&);             what is wrong between parameters, or {}
//   };
#ifndef MEMTORCH_ENGINE_DEVICE_MODEL_H_
#define MEMTORCH_ENGINE_DEVICE_MODEL_H_

#include <cstddef>
#include <sstream>
#include <string>
#include <type_traits>
#include <utility>

#include "engine/core.h"

namespace memtorch {

enum class Range { kAny, kPositive, kNonNegative, kNegative, kFlag };

template <class Owner>
using Member = double Owner::*;  // named, because g++ warns of how nvcc spells it otherwise

// One parameter or state variable of a model: where it lives, its public name, default, unit, allowed range, meaning.
template <class Owner>
struct Field {
  Member<Owner> member;
  const char* name;
  double value;
  const char* unit;
  Range range;
  const char* doc;
  bool selects = false;  // chooses between formulas: loops are compiled once for its default and once for any value
  bool shapes = false;   // Shape depends on it
};

// Pulses for write-verify programming (engine/program.h) that reach every target within rel_tol.
struct PulseSet {
  double positive_voltage, negative_voltage;  // volts
  double duration, refractory_period;         // seconds
  double time_step;                           // seconds per sample that they are meant for
  double rel_tol;
  int64_t max_pulses;  // beyond the most that a cell needs
};

template <class M>
constexpr int kParamCount = sizeof(M::kParams) / sizeof(M::kParams[0]);
template <class M>
constexpr int kStateCount = sizeof(M::kState) / sizeof(M::kState[0]);

template <class M>
typename M::Params Defaults() {
  typename M::Params p{};
  for (const auto& field : M::kParams) p.*field.member = field.value;
  M::Derive(p);
  return p;
}

// Parameters are 0 or of a magnitude between these, far beyond any device: their products and quotients then neither
// overflow nor vanish, so that finite parameters never give NaN.
constexpr double kSmallestParam = 1e-50;
constexpr double kLargestParam = 1e50;

// Whether value obeys the range; NaN and infinities obey none. RangeText says what is allowed.
MT_HD bool InRange(Range range, double value) {
  const double magnitude = value < 0 ? -value : value;
  if (!(magnitude == 0 || (magnitude >= kSmallestParam && magnitude <= kLargestParam))) return false;
  switch (range) {
    case Range::kPositive:
      return value > 0;
    case Range::kNonNegative:
      return value >= 0;
    case Range::kNegative:
      return value < 0;
    case Range::kFlag:
      return value == 0 || value == 1;
    default:
      return true;
  }
}

// What a value outside the range must be.
inline const char* RangeText(Range range, double value) {
  const double magnitude = value < 0 ? -value : value;
  const bool tiny = magnitude > 0 && magnitude < kSmallestParam;
  const bool huge = magnitude > kLargestParam && value - value == 0;
  if (tiny || huge) return "of a magnitude between 1e-50 and 1e50";
  switch (range) {
    case Range::kPositive:
      return "finite and above 0";
    case Range::kNonNegative:
      return "finite and at least 0";
    case Range::kNegative:
      return "finite and below 0";
    case Range::kFlag:
      return "0 or 1";
    default:
      return "finite";
  }
}

// "(1000 ohm)": how messages show a value.
inline std::string Quantity(double value, const char* unit) {
  std::ostringstream text;
  text << '(' << value << (*unit == 0 ? "" : " ") << unit << ')';
  return text.str();
}

// Two parameters, or one, that do not go together; of no name: there is nothing wrong.
struct Mismatch {
  const char* a = nullptr;
  double a_value = 0;
  const char* must = nullptr;
  const char* b = nullptr;  // null: one parameter alone
  double b_value = 0;
  const char* unit = "";

  MT_HD bool empty() const { return a == nullptr; }
  // "r_on (2000 ohm) must be below r_off (1000 ohm)".
  std::string Text() const {
    if (empty()) return "";
    const std::string other = b == nullptr ? "" : ' ' + std::string(b) + ' ' + Quantity(b_value, unit);
    return std::string(a) + ' ' + Quantity(a_value, unit) + " must " + must + other;
  }
};

namespace internal {

// The tables are read at compile time only: they then need no symbol, and no copy on a device.
template <class M, size_t i, class Source>
MT_HD void LoadParam(const Source& source, typename M::Params& p) {
  constexpr auto kMember = M::kParams[i].member;
  p.*kMember = source(i);
}

template <class M, size_t i, class Source>
MT_HD void LoadVariable(const Source& source, typename M::State& s) {
  constexpr auto kMember = M::kState[i].member;
  s.*kMember = source(i);
}

template <class M, size_t i, class Sink>
MT_HD void StoreVariable(const typename M::State& s, const Sink& sink) {
  constexpr auto kMember = M::kState[i].member;
  sink(i, s.*kMember);
}

template <class M, size_t i, class Test>
MT_HD bool SelectorPasses(const Test& test) {
  constexpr auto kField = M::kParams[i];
  return !kField.selects || test(i, kField.value);
}

template <class M, size_t i>
MT_HD void SetSelector(typename M::Params& p) {
  constexpr auto kField = M::kParams[i];
  if constexpr (kField.selects) p.*kField.member = kField.value;
}

template <class M, size_t i, class Source>
MT_HD bool IsOutOfRange(const Source& source) {
  constexpr auto kField = M::kParams[i];
  return !InRange(kField.range, source(i));
}

template <class M, class Source, size_t... i>
MT_HD int FirstOutOfRangeAt(const Source& source, std::index_sequence<i...>) {
  int good = 0;
  const bool bad = ((IsOutOfRange<M, i>(source) || (++good, false)) || ...);
  return bad ? good : kParamCount<M>;
}

template <class M, class Source, size_t... i>
MT_HD void LoadParamsAt(const Source& source, typename M::Params& p, std::index_sequence<i...>) {
  (LoadParam<M, i>(source, p), ...);
}

template <class M, class Source, size_t... i>
MT_HD void LoadStateAt(const Source& source, typename M::State& s, std::index_sequence<i...>) {
  (LoadVariable<M, i>(source, s), ...);
}

template <class M, class Sink, size_t... i>
MT_HD void StoreStateAt(const typename M::State& s, const Sink& sink, std::index_sequence<i...>) {
  (StoreVariable<M, i>(s, sink), ...);
}

template <class M, class Test, size_t... i>
MT_HD bool SelectorsPassAt(const Test& test, std::index_sequence<i...>) {
  return (SelectorPasses<M, i>(test) && ...);
}

template <class M, size_t... i>
MT_HD void SetDefaultSelectorsAt(typename M::Params& p, std::index_sequence<i...>) {
  (SetSelector<M, i>(p), ...);
}

template <class M>
using ParamIndices = std::make_index_sequence<kParamCount<M>>;
template <class M>
using StateIndices = std::make_index_sequence<kStateCount<M>>;

}  // namespace internal

// The parameters whose i-th value, in the order of the table, is source(i), with what derives from them; the state.
template <class M, class Source>
MT_HD typename M::Params LoadParams(const Source& source) {
  typename M::Params p{};
  internal::LoadParamsAt<M>(source, p, internal::ParamIndices<M>());
  M::Derive(p);
  return p;
}
template <class M, class Source>
MT_HD typename M::State LoadState(const Source& source) {
  typename M::State s{};
  internal::LoadStateAt<M>(source, s, internal::StateIndices<M>());
  return s;
}

// The first parameter i, in the order of the table, whose value source(i) is out of its range, or kParamCount<M>.
template <class M, class Source>
MT_HD int FirstOutOfRange(const Source& source) {
  return internal::FirstOutOfRangeAt<M>(source, internal::ParamIndices<M>());
}

// sink(i, value) for every state variable.
template <class M, class Sink>
MT_HD void StoreState(const typename M::State& s, const Sink& sink) {
  internal::StoreStateAt<M>(s, sink, internal::StateIndices<M>());
}

// Whether test(i, default) holds for every parameter i that selects a formula (Field::selects).
template <class M, class Test>
MT_HD bool SelectorsPass(const Test& test) {
  return internal::SelectorsPassAt<M>(test, internal::ParamIndices<M>());
}
// Gives the parameters that select a formula their defaults.
template <class M>
MT_HD void SetDefaultSelectors(typename M::Params& p) {
  internal::SetDefaultSelectorsAt<M>(p, internal::ParamIndices<M>());
}

// Advances one device by one sample and returns the current recorded for it, amperes. `last_current` is that of the
// previous sample of the same waveform (0 before the first); `normal` is a standard normal draw, 0 for models without
// noise.
template <class M>
MT_HD double Step(const typename M::Params& p, const typename M::Drive& drive, typename M::State& s,
                  double last_current, double normal) {
  const double before = M::kReadsFirst ? M::Current(p, drive, s) : 0.0;
  M::Advance(p, drive, s, M::kReadsFirst ? before : last_current, normal);
  return M::kReadsFirst ? before : M::Current(p, drive, s);
}

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_DEVICE_MODEL_H_
