"""``python -m memtorch``: the command line."""

import sys

from memtorch.cli import main

if __name__ == "__main__":
    sys.exit(main())
