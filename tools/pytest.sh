#!/bin/sh
# Runs pytest on the runfiles of a test: the package comes from there, and nothing is written outside TEST_TMPDIR.
export PYTHONPATH="$PWD/py" PYTHONDONTWRITEBYTECODE=1
export MPLBACKEND=Agg MPLCONFIGDIR="$TEST_TMPDIR" HYPOTHESIS_STORAGE_DIRECTORY="$TEST_TMPDIR"
# Bazel runs one test per core.
export OMP_NUM_THREADS=1
# Hypothesis then draws the same examples every time, so that a result in Bazel's cache means something.
export CI=true
exec "${MEMTORCH_PYTHON:?is not set: run ./tools/dev build once}" -m pytest \
  -c pyproject.toml -p no:cacheprovider --junitxml="$XML_OUTPUT_FILE" "$@"
