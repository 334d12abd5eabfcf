"""docs/models.md is what tools/docs/models.py makes of the engine's tables."""

import inspect

import models
import pytest

import memtorch.bh.memristor


def test_the_document_is_up_to_date():
    made = models.DOCUMENT.read_text(encoding="utf-8")
    assert made == models.text(), "PYTHONPATH=py python tools/docs/models.py writes it anew"


@pytest.mark.parametrize("name", models.MODELS)
def test_a_section_names_every_parameter_and_has_equations_and_source(name):
    section = models.section(name)
    signature = inspect.signature(getattr(memtorch.bh.memristor, name))
    for parameter in signature.parameters.values():
        if parameter.kind is not parameter.VAR_KEYWORD:
            assert f"| `{parameter.name}` |" in section or f"| `{parameter.name}[0]` |" in section
    assert section.count("```") in (2, 4)  # fences of one or two blocks of equations
    assert "Source: " in section


def test_every_model_has_a_section():
    package = memtorch.bh.memristor
    public = [getattr(package, name) for name in package.__all__]
    assert set(models.MODELS) == {c.__name__ for c in public if inspect.isclass(c) and not inspect.isabstract(c)}
