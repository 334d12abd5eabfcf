"""Slow oracles in plain Python, written from the published equations and independent of the engine."""
