#!/bin/sh
# Runs a test that ThreadSanitizer watches. That of GCC 12 finds no room for itself where the kernel spreads addresses
# widely, and then needs them fixed; where that is not allowed, as in some containers, they are usually not spread so far.
# The CPU's engine, to which results are compared, has threads too, whose barriers nobody watches: here it has one.
export OMP_NUM_THREADS=1
if setarch -R true 2>/dev/null; then
  exec setarch -R "$@"
fi
exec "$@"
