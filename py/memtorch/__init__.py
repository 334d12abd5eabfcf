"""Simulation of memristive deep learning systems on top of torch."""

from memtorch import analysis, bh, cuda, map, mn, submodules, utils
from memtorch._errors import InvalidArgument

# As in 1.1.6, everything public stands here too.
from memtorch.bh import *  # noqa: F403
from memtorch.bh.nonideality import *  # noqa: F403
from memtorch.map import *  # noqa: F403
from memtorch.mn import *  # noqa: F403
from memtorch.utils import *  # noqa: F403
from memtorch.version import __version__

__all__ = ["InvalidArgument", "__version__", "analysis", "bh", "cuda", "map", "mn", "submodules", "utils"]
__all__ += bh.__all__ + bh.nonideality.__all__ + map.__all__ + mn.__all__ + utils.__all__
