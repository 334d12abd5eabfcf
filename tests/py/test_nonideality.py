"""``apply_nonidealities``: whole models, order, composition, all or nothing, what survives."""

from __future__ import annotations

import copy
import importlib
import itertools
import math
import pathlib
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_tools import patched
from nonideality_tools import EPS, assert_agrees, assert_same_state, everything, layer, used_cells
from python_models import PythonDrift
from torch import nn

import memtorch
from memtorch import InvalidArgument
from memtorch.bh.crossbar import naive_program
from memtorch.bh.memristor import VTEAM, LinearIonDrift, Stanford_PKU
from memtorch.bh.nonideality import (
    NonIdeality,
    apply_cycle_variability,
    apply_device_faults,
    apply_endurance_model,
    apply_finite_conductance_states,
    apply_nonidealities,
    apply_retention_model,
    required,
)
from memtorch.bh.nonideality.endurance_retention_models import (
    OperationMode,
    model_conductance_drift,
    model_endurance_retention,
)

WEAR = {
    "operation_mode": OperationMode.gradual,
    "p_lrs": [1.0, 0.1, 0.5, 0.1],
    "stable_resistance_lrs": None,
    "p_hrs": [2.0, 0.1, 0.9, -0.1],
    "stable_resistance_hrs": None,
    "cell_size": 10,
    "temperature": 350,
}
FAULTS = {"lrs_proportion": 0.1, "hrs_proportion": 0.1, "electroform_proportion": 0.05}
VARIABILITY = {"r_off_kwargs": {"loc": 900, "scale": 30}, "r_on_kwargs": {"loc": 60, "scale": 3}}
ARGUMENTS = {
    NonIdeality.FiniteConductanceStates: {"conductance_states": 7},
    NonIdeality.DeviceFaults: FAULTS,
    NonIdeality.Endurance: {
        "x": 1e3,
        "endurance_model": model_endurance_retention,
        "endurance_model_kwargs": WEAR,
    },
    NonIdeality.Retention: {
        "time": 1.0,
        "retention_model": model_conductance_drift,
        "retention_model_kwargs": {"drift_coefficient": 0.02},
    },
    NonIdeality.CycleVariability: VARIABILITY,
}
# The function that each member stands for, on one layer.
FUNCTIONS = {
    NonIdeality.FiniteConductanceStates: lambda one: apply_finite_conductance_states(one, 7),
    NonIdeality.DeviceFaults: lambda one: apply_device_faults(one, 0.1, 0.1, 0.05),
    NonIdeality.Endurance: lambda one: apply_endurance_model(one, 1e3, **WEAR),
    NonIdeality.Retention: lambda one: apply_retention_model(one, 1.0, drift_coefficient=0.02),
    NonIdeality.CycleVariability: lambda one: apply_cycle_variability(one, **VARIABILITY),
}


def arguments_of(effects):
    return {name: value for effect in effects for name, value in ARGUMENTS[effect].items()}


def model(**options):
    torch.manual_seed(2)
    net = nn.Sequential(nn.Sequential(nn.Linear(9, 6), nn.ReLU()), nn.Linear(6, 4))
    return patched(net, **{"tile_shape": (4, 5), **options})


def test_the_example_of_the_document_runs():
    document = pathlib.Path(__file__).parents[2] / "docs/nonidealities.md"
    (example,) = re.findall(r"```python\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)
    names = {}
    exec(compile(example, str(document), "exec"), names)
    devices = names["patched"][0].crossbars[0].devices
    assert devices.finite_states == 16
    assert int(devices.stuck.sum()) == int(0.01 * 2048) + int(0.025 * 2048)


def test_names_stand_where_they_did():
    import memtorch.bh.nonideality as package
    from memtorch.bh.nonideality.DeviceFaults import apply_cycle_variability as from_faults
    from memtorch.bh.nonideality.NonIdeality import apply_nonidealities as from_module

    assert package.NonIdeality is NonIdeality is memtorch.NonIdeality
    assert from_module is apply_nonidealities is memtorch.apply_nonidealities
    assert from_faults is apply_cycle_variability
    names = ["FiniteConductanceStates", "DeviceFaults", "NonLinear", "Endurance", "Retention", "CycleVariability"]
    assert [member.name for member in NonIdeality] == names
    for name in ("apply_device_faults", "apply_endurance_model", "apply_retention_model", "required"):
        assert getattr(memtorch, name) is getattr(package, name)
    models = importlib.import_module("memtorch.bh.nonideality.endurance_retention_models")
    assert package.endurance_retention_models is models
    for module in ("conductance_drift", "empirical_metal_oxide_RRAM"):
        importlib.import_module(f"memtorch.bh.nonideality.endurance_retention_models.{module}")


@pytest.mark.parametrize("effect", ARGUMENTS)
def test_a_member_stands_for_its_function_on_every_layer(effect):
    one, other = model(), model()
    torch.manual_seed(4)
    assert apply_nonidealities(one, [effect], **ARGUMENTS[effect]) is one
    torch.manual_seed(4)
    for part in (other[0][0], other[1]):
        FUNCTIONS[effect](part)
    assert_same_state(everything(one), everything(other))
    assert not torch.equal(one[1].crossbars[0].devices.g, model()[1].crossbars[0].devices.g)
    assert [name for name, _ in one.named_modules()] == [name for name, _ in model().named_modules()]


@pytest.mark.parametrize(
    "pair", list(itertools.permutations(ARGUMENTS, 2)), ids=lambda pair: "-".join(p.name for p in pair)
)
def test_effects_compose_in_the_given_order(pair):
    one, other = layer("double, tiled"), layer("double, tiled")
    torch.manual_seed(8)
    apply_nonidealities(one, pair, **arguments_of(pair))
    torch.manual_seed(8)
    for effect in pair:
        FUNCTIONS[effect](other)
    assert_same_state(everything(one), everything(other))
    for crossbar in one.crossbars:
        assert_agrees(crossbar.devices)


def test_faults_before_states_are_kept_by_the_states():
    mine = layer()
    effects = [NonIdeality.DeviceFaults, NonIdeality.FiniteConductanceStates]
    for crossbar in mine.crossbars:  # a stuck value that is none of the states
        crossbar.devices.g[0, 0] = 0.0123
        crossbar.devices[0, 0].stuck = True
    apply_nonidealities(mine, effects, **arguments_of(effects))
    for crossbar in mine.crossbars:
        assert crossbar.devices.g[0, 0] == torch.tensor(0.0123)
        free = crossbar.devices.g[~crossbar.devices.stuck]
        steps = (free.double() - 1 / 1000) / (1 / 50 - 1 / 1000) * 6
        # float32 conductances of up to 0.02, in steps of 0.0032
        torch.testing.assert_close(steps, steps.round(), rtol=0, atol=6 * 2 * EPS)


@settings(max_examples=25)
@given(effects=st.lists(st.sampled_from(list(ARGUMENTS)), max_size=5))
def test_any_list_keeps_the_devices_whole_and_persists(effects):
    one = layer("single, tiled")
    apply_nonidealities(one, effects, **arguments_of(effects))
    fresh = layer("single, tiled")
    fresh.load_state_dict(one.state_dict())
    x = torch.rand(3, 20)
    assert torch.equal(fresh(x), one(x))
    for crossbar in one.crossbars:
        devices = crossbar.devices
        low, high = 1 / devices.column("r_off"), 1 / devices.column("r_on")
        g = devices.g.double()
        assert bool((low < high).all())
        assert bool((g >= low * (1 - EPS)).all()) and bool((g <= high * (1 + EPS)).all())
        stuck = torch.zeros(devices.shape, dtype=torch.bool) if devices.stuck is None else devices.stuck
        before = devices.g.clone()
        crossbar.write_conductance_matrix(torch.full((12, 20), 0.006))
        crossbar.update(from_devices=False)
        crossbar.update(from_devices=True)
        assert torch.equal(devices.g[stuck], before[stuck])
        if devices.finite_states is not None:
            levels = (devices.g.double() - low) / (high - low) * 6
            # A level is rounded to float32: relative to a step, 6 times the range's share of it.
            slack = 6 * 2 * EPS * high / (high - low)
            assert bool(((levels - levels.round()).abs() <= slack)[~stuck].all())


@pytest.mark.parametrize("effect", ARGUMENTS)
def test_devices_written_in_python_take_every_effect(effect):
    built_in, mine = model(model=LinearIonDrift), model(model=PythonDrift)
    arguments = dict(ARGUMENTS[effect])
    if effect is NonIdeality.CycleVariability:
        arguments = {"r_off_kwargs": {"loc": 9e3, "scale": 500}, "r_on_kwargs": {"loc": 120, "scale": 10}}
    for one in (built_in, mine):
        torch.manual_seed(6)
        apply_nonidealities(one, [effect], **arguments)
    for layer_of in (lambda one: one[0][0], lambda one: one[1]):
        for a, b in zip(layer_of(built_in).crossbars, layer_of(mine).crossbars, strict=True):
            # The same arithmetic on float32 conductances; a device's own state rounds once more.
            torch.testing.assert_close(a.devices.g, b.devices.g, rtol=2 * EPS, atol=0)
            assert (a.devices.stuck is None) == (b.devices.stuck is None)
            assert a.devices.stuck is None or torch.equal(a.devices.stuck, b.devices.stuck)
            for name in ("r_on", "r_off"):
                torch.testing.assert_close(a.devices.column(name), b.devices.column(name), rtol=2 * EPS, atol=0)


def test_programming_by_pulses_leaves_stuck_cells_and_ends_at_states():
    mine = layer("double, tiled")
    effects = [NonIdeality.DeviceFaults, NonIdeality.FiniteConductanceStates]
    apply_nonidealities(mine, effects, **arguments_of(effects))
    crossbar = mine.crossbars[0]
    stuck, before = crossbar.devices.stuck, crossbar.devices.g.clone()
    params = dict(VTEAM.programming_params)
    crossbar.devices.time_series_resolution = params.pop("time_series_resolution")
    target = torch.empty(12, 20).uniform_(1 / 900, 1 / 60)
    with pytest.warns(UserWarning, match="faulty"):
        crossbar.write_conductance_matrix(target, False, naive_program, {"rel_tol": 0.05, **params})
    devices = crossbar.devices
    assert torch.equal(devices.g[stuck], before[stuck])
    steps = (devices.g.double() - 1 / 1000) / (1 / 50 - 1 / 1000) * 6
    # float32 conductances of up to 0.02, in steps of 0.0032
    torch.testing.assert_close(steps[~stuck], steps.round()[~stuck], rtol=0, atol=6 * 2 * EPS)
    # Within rel_tol of the target, then to the nearest state: half a step, and 5 % of at most 6 steps.
    wanted = (target.T.double() - 1 / 1000) / (1 / 50 - 1 / 1000) * 6
    reached = (crossbar.matrix().double() - 1 / 1000) / (1 / 50 - 1 / 1000) * 6
    works = ~gathered(stuck, crossbar)
    assert float((reached - wanted)[works].abs().max()) < 0.5 + 0.05 * 6.4


def gathered(mask, crossbar):
    """A mask of devices as one of the matrix [rows, columns]."""
    matrix = torch.zeros(crossbar.rows, crossbar.columns, dtype=torch.bool)
    for point, row, column in crossbar._used_cells():
        matrix[row, column] = mask[point]
    return matrix


def test_crossbars_that_layers_share_are_changed_once():
    one = model()
    shared = nn.ModuleList([one[1], one[1]])
    shared.append(copy.deepcopy(one[1]))
    shared[2].crossbars = one[1].crossbars
    g = one[1].crossbars[0].devices.g.clone()
    apply_nonidealities(shared, [NonIdeality.Retention], **ARGUMENTS[NonIdeality.Retention])
    torch.testing.assert_close(one[1].crossbars[0].devices.g, g * 1e12**-0.02, rtol=2 * EPS, atol=0)


def test_a_sequential_root_keeps_its_layers():
    one = model()
    x = torch.rand(2, 9)
    before = one(x)
    none = {"lrs_proportion": 0.0, "hrs_proportion": 0.0, "electroform_proportion": 0.0}
    apply_nonidealities(one, [NonIdeality.DeviceFaults], **none)
    assert len(one) == 2
    assert torch.equal(one(x), before)


def test_a_function_of_the_users_is_an_effect_too():
    seen = []

    def everything_ages(one):
        seen.append(one)
        for crossbar in one.crossbars:
            crossbar.devices.set_conductance(crossbar.devices.g * 0.5)

    one = model()
    g = one[0][0].crossbars[0].devices.g.clone()
    apply_nonidealities(one, [everything_ages, NonIdeality.DeviceFaults], **FAULTS)
    assert seen == [one[0][0], one[1]]
    devices = one[0][0].crossbars[0].devices
    torch.testing.assert_close(devices.g[~devices.stuck], (g * 0.5).clamp(1 / 1000)[~devices.stuck], rtol=EPS, atol=0)


def test_recurrent_layers_are_reached_matrix_by_matrix():
    torch.manual_seed(1)
    one = patched(nn.ModuleList([nn.GRU(5, 4, num_layers=2), nn.Linear(4, 3)]))
    seen = []
    apply_nonidealities(one, [seen.append, NonIdeality.DeviceFaults], **FAULTS)
    assert seen == [*one[0].readers(), one[1]]
    for crossbar in itertools.chain.from_iterable(part.crossbars for part in seen):
        n = crossbar.rows * crossbar.columns
        assert int(crossbar.devices.stuck[used_cells(crossbar)].sum()) == int(0.1 * n) + int(0.15 * n)


def test_a_model_without_memristive_layers_is_warned_about():
    with pytest.warns(UserWarning, match="nothing was changed"):
        apply_nonidealities(nn.Linear(2, 2), [NonIdeality.DeviceFaults], **FAULTS)


# ---- All or nothing ----


def test_all_missing_arguments_are_named_at_once():
    one = model()
    before = everything(one)
    effects = [
        NonIdeality.FiniteConductanceStates,
        NonIdeality.DeviceFaults,
        NonIdeality.NonLinear,
        NonIdeality.Retention,
    ]
    with pytest.raises(InvalidArgument) as error:
        apply_nonidealities(one, effects, conductance_states=4, lrs_proportion=0.1, time=1)
    missing = "hrs_proportion, electroform_proportion, sweep_duration, sweep_voltage_signal_amplitude, "
    missing += "sweep_voltage_signal_frequency, retention_model, retention_model_kwargs"
    assert str(error.value).endswith(f"must hold {missing}")
    assert_same_state(everything(one), before)
    with pytest.raises(InvalidArgument, match="must hold b, c"):
        required({"a": 1}, ["a", "b", "c"])
    required({"a": 1}, ["a"])
    for kwargs, names, named in ((5, ["a"], "kwargs"), ({}, "a", "names"), ({}, [1], "names"), ({}, 3, "names")):
        with pytest.raises(InvalidArgument, match=rf"\[required\] {named} "):
            required(kwargs, names)


@pytest.mark.parametrize(
    ("effects", "changes", "named"),
    [
        ("DeviceFaults", {}, "non_idealities"),
        ([1], {}, "non_idealities"),
        ([NonIdeality], {}, "non_idealities"),
        (7, {}, "non_idealities"),
        ([NonIdeality.DeviceFaults], {"colour": 1}, "colour"),
        (
            [NonIdeality.DeviceFaults, NonIdeality.FiniteConductanceStates],
            {"conductance_states": 0},
            "conductance_states",
        ),
        ([NonIdeality.DeviceFaults, NonIdeality.Retention], {"time": -1.0}, "time"),
        ([NonIdeality.DeviceFaults, NonIdeality.Retention], {"retention_model": max}, "retention_model"),
        ([NonIdeality.DeviceFaults, NonIdeality.Endurance], {"endurance_model_kwargs": {}}, "operation_mode"),
        ([NonIdeality.DeviceFaults, NonIdeality.Endurance], {"x": math.nan}, "x"),
        ([NonIdeality.DeviceFaults, NonIdeality.CycleVariability], {"r_on_kwargs": {"loc": 1}}, "scale"),
        ([NonIdeality.DeviceFaults, NonIdeality.CycleVariability], {"r_on_kwargs": {"loc": 5e3, "scale": 1}}, "r_on"),
        ([NonIdeality.DeviceFaults], {"lrs_proportion": 2}, "lrs_proportion"),
    ],
)
def test_bad_arguments_are_named_before_anything_changes(effects, changes, named):
    one = model()
    before = everything(one)
    listed = [e for e in effects if e in ARGUMENTS] if isinstance(effects, list) else []
    with pytest.raises(InvalidArgument, match=named):
        apply_nonidealities(one, effects, **{**arguments_of(listed), **changes})
    assert_same_state(everything(one), before)
    with pytest.raises(InvalidArgument, match="model"):
        apply_nonidealities(None, [])


def test_an_effect_that_the_devices_do_not_allow_undoes_those_before_it():
    one = model(model=Stanford_PKU)
    before = everything(one)
    effects = [NonIdeality.DeviceFaults, NonIdeality.FiniteConductanceStates, NonIdeality.Endurance]
    sudden = {
        **WEAR,
        "operation_mode": OperationMode.sudden,
        "stable_resistance_lrs": 1.0,
        "stable_resistance_hrs": 2e5,
    }
    with pytest.raises(InvalidArgument, match=r"gap_min|r_on"):
        apply_nonidealities(one, effects, **{**arguments_of(effects), "endurance_model_kwargs": sudden})
    assert_same_state(everything(one), before)


def test_a_function_that_raises_undoes_what_it_did():
    def breaks(one):
        one.crossbars[0].devices.set_conductance(0.01)
        raise KeyError("no luck")

    one = model()
    before = everything(one)
    with pytest.raises(KeyError, match="no luck"):
        apply_nonidealities(one, [NonIdeality.DeviceFaults, breaks], **FAULTS)
    assert_same_state(everything(one), before)


def test_an_error_leaves_the_way_of_reading_as_it_was():
    def breaks(one):
        assert one.non_linear is not None
        raise KeyError("no luck")

    one = model()
    swept = {"sweep_duration": 1, "sweep_voltage_signal_amplitude": 2, "sweep_voltage_signal_frequency": 1}
    apply_nonidealities(one, [NonIdeality.NonLinear], **swept)
    before = everything(one)
    with pytest.raises(KeyError, match="no luck"):
        apply_nonidealities(one, [NonIdeality.NonLinear, breaks], simulate=True)
    assert_same_state(everything(one), before)
    with pytest.raises(InvalidArgument, match=r"\[apply_nonidealities\] sweep_duration.* must not be given"):
        apply_nonidealities(one, [NonIdeality.DeviceFaults, NonIdeality.NonLinear], **FAULTS, **swept, simulate=True)
    assert_same_state(everything(one), before)


def test_a_model_whose_layers_have_only_crossbars_cannot_be_read_non_linearly():
    class Own(nn.Module):
        def __init__(self, crossbars):
            super().__init__()
            self.crossbars = crossbars

    one = Own(model()[1].crossbars)
    before = everything(one)
    with pytest.raises(InvalidArgument, match=r"layer \(Own\) must be a patched layer"):
        apply_nonidealities(one, [NonIdeality.DeviceFaults, NonIdeality.NonLinear], **FAULTS, simulate=True)
    assert_same_state(everything(one), before)
