#!/bin/sh
# Runs the Python of the virtual environment, which .bazelrc.local names, on a script of the runfiles.
exec "${MEMTORCH_PYTHON:?is not set: run ./tools/dev build once}" "$@"
