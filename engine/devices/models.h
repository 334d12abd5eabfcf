// The list of device models: the one line to touch for a new one.
#ifndef MEMTORCH_ENGINE_DEVICES_MODELS_H_
#define MEMTORCH_ENGINE_DEVICES_MODELS_H_

#include <string>

#include "engine/core.h"
#include "engine/devices/data_driven.h"
#include "engine/devices/data_driven_2021.h"
#include "engine/devices/linear_ion_drift.h"
#include "engine/devices/stanford_pku.h"
#include "engine/devices/vteam.h"

namespace memtorch {

template <class... M>
struct ModelList {};

using Models = ModelList<LinearIonDrift, Vteam, StanfordPku, DataDriven, DataDriven2021>;

namespace internal {

template <class Visitor, class... M>
void ForEach(const Visitor& visit, ModelList<M...>) {
  (visit(M()), ...);
}

template <class Visitor, class... M>
void Visit(int index, const Visitor& visit, ModelList<M...>) {
  int i = 0;
  (void)((i++ == index && (visit(M()), true)) || ...);
}

}  // namespace internal

// visit(M()) for every model, in the order of the list:  ForEachModel([](auto m) { using M = decltype(m); ... });
template <class Visitor>
void ForEachModel(const Visitor& visit) {
  internal::ForEach(visit, Models());
}

// visit(M()) for the model at that position of the list.
template <class Visitor>
void WithModelAt(int index, const Visitor& visit) {
  internal::Visit(index, visit, Models());
}

// Position of the named model in the list. Throws std::invalid_argument for an unknown name.
inline int ModelIndex(const char* op, const std::string& name) {
  int count = 0;
  int index = -1;
  std::string known;
  ForEachModel([&](auto m) {
    const char* model = decltype(m)::kName;
    if (name == model) index = count;
    known += (count++ == 0 ? "" : ", ") + std::string(model);
  });
  if (index < 0) Invalid(op, "model ('", name, "') must be one of ", known);
  return index;
}

// visit(M()) for the named model. Throws std::invalid_argument for an unknown name; op stands in its message.
template <class Visitor>
void WithModel(const std::string& name, const Visitor& visit, const char* op = "memtorch") {
  WithModelAt(ModelIndex(op, name), visit);
}

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_DEVICES_MODELS_H_
