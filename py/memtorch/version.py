"""The version; "cpu" stands in it for builds without CUDA, because users test for that."""

from memtorch.cuda import architectures

# The wheel's version is read from this line (tools/wheel/built_version.py).
__version__ = "2.0.0+cpu"

if architectures() not in ([], ["emulated"]):
    __version__ = __version__.removesuffix("+cpu")
