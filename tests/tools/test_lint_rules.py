"""The lint rules of tools/lint on sources and symbols that keep them and that break them."""

import imports
import isa_symbols
import pytest


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("_ops.py", "from . import _engine"),
        ("_errors.py", "from memtorch._engine import InvalidArgument"),
        ("bh/_device_array.py", "from memtorch import _engine"),
        ("mn/Linear.py", "from memtorch.bh.crossbar import Crossbar\nfrom ..map import Parameter"),
        ("map/Parameter.py", "import memtorch.bh"),
        ("bh/crossbar/Crossbar.py", "import torch\nfrom .Tile import gen_tiles"),
        ("bh/Quantize.py", "from memtorch import mnemonic"),
        ("__init__.py", "from . import bh, map, mn"),
    ],
)
def test_allowed_imports(file, source):
    assert imports.violations(file, source) == []


@pytest.mark.parametrize(
    ("file", "source", "name"),
    [
        ("mn/Linear.py", "from memtorch import _engine", "memtorch._engine"),
        ("bh/Quantize.py", "from .. import _engine", "memtorch._engine"),
        ("bh/__init__.py", "from .._engine import simulate", "memtorch._engine.simulate"),
        ("__init__.py", "from . import _engine", "memtorch._engine"),
        (
            "bh/crossbar/__init__.py",
            "def f():\n    from memtorch.mn.Module import patch_model",
            "memtorch.mn.Module",
        ),
        ("bh/nonideality/NonIdeality.py", "import memtorch.mn as layers", "memtorch.mn"),
        ("bh/nonideality/NonIdeality.py", "from ...map import Module", "memtorch.map.Module"),
        ("map/Module.py", "from memtorch import mn", "memtorch.mn"),
    ],
)
def test_forbidden_imports(file, source, name):
    (message,) = imports.violations(file, source)
    assert message.startswith(f"{file}:{source.count(chr(10)) + 1}: must not import {name}")


def test_symbols_that_the_linker_may_merge():
    listing = """
librandom_kernels_avx2.pic.a(random_kernels.o):
0000000000000000 W memtorch::avx2::Lanes<4>::Sum() const
0000000000000000 W std::vector<double, std::allocator<double> >::push_back(double&&)
0000000000000000 V memtorch::kTable
0000000000000010 u memtorch::Counter()::count
0000000000000000 V DW.ref.__gxx_personality_v0
0000000000000000 t memtorch::avx2::(anonymous namespace)::FillNormal(unsigned long)
0000000000000000 D memtorch::avx2::kRandom
                 U operator new(unsigned long)
                 w __gmon_start__
"""
    assert isa_symbols.shared_symbols(listing) == [
        "std::vector<double, std::allocator<double> >::push_back(double&&)",
        "memtorch::kTable",
        "memtorch::Counter()::count",
    ]
