"""Prints the stub of the extension module _engine, found in the folder named by the first argument.

It is nanobind's own, completed with what nanobind cannot know: that an array may be a torch tensor, and exception types
that carry another module's name.
"""

import importlib
import re
import sys
from types import ModuleType

from nanobind.stubgen import StubGen

HEADER = """# Generated from the extension by ./tools/dev build --update-stub; a test compares the two.
# Arrays are torch tensors or NumPy arrays, of exactly the dtype that is stated.
"""
_ARRAY = re.compile(r"Annotated\[(NDArray(?:\[[\w.]+\])?|ArrayLike), ")


def exceptions(module: ModuleType) -> str:
    """Declarations of the exception types that the module defines."""
    return "".join(
        f'\nclass {name}({", ".join(base.__name__ for base in value.__bases__)}):\n    """{value.__doc__}"""\n'
        for name, value in sorted(vars(module).items())
        if isinstance(value, type) and issubclass(value, BaseException)
    )


def stub(module: ModuleType) -> str:
    """The text of the .pyi file."""
    generator = StubGen(module)
    generator.put(module)
    imports, blank, definitions = generator.get().partition("\n\n\n")
    definitions = _ARRAY.sub(r"Annotated[\1 | Tensor, ", definitions)
    return f"{HEADER}{imports}\nfrom torch import Tensor\n{exceptions(module)}{blank}{definitions}"


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    sys.stdout.write(stub(importlib.import_module("_engine")))
