// Assertions about what is thrown.
#ifndef MEMTORCH_TESTS_CPP_TESTING_ERRORS_H_
#define MEMTORCH_TESTS_CPP_TESTING_ERRORS_H_

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

namespace memtorch::testing {

// The message of the std::invalid_argument that `call` throws; a failure and "" when it throws none.
template <class Call>
std::string ErrorOf(const Call& call) {
  try {
    call();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

}  // namespace memtorch::testing

#endif  // MEMTORCH_TESTS_CPP_TESTING_ERRORS_H_
