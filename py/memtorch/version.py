"""The version; "cpu" stands in it for builds without CUDA, because users test for that."""

__version__ = "2.0.0+cpu"
