"""The main job: what the experiments must show if the physics is right, and how they are reported."""

import csv
import dataclasses
import itertools
import json
import math
import pathlib

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from memtorch.demo import report
from memtorch.demo.data import SmallCnn, load_digits, train
from memtorch.demo.plots import plot_hysteresis, write_plots
from memtorch.demo.study import MODELS, Draw, Experiment, Study, StudyOptions, variable_bounds

OPTIONS = StudyOptions(draws=5)
TWO_IMAGES = 100 * 2 / 450  # percent: what ties between classes may do either way


@pytest.fixture(scope="module")
def draws() -> list[Draw]:
    return list(Study(OPTIONS).run())


def of(draws: list[Draw], kind: str) -> list[report.Summary]:
    return [summary for summary in report.summarize(draws) if summary.experiment.kind == kind]


def test_the_split_is_three_to_one_with_every_class_in_proportion() -> None:
    digits = load_digits(seed=3)
    assert len(digits.train_labels) + len(digits.test_labels) == 1797
    assert len(digits.test_labels) == 450
    assert digits.train_images.shape[1:] == (1, 16, 16)
    assert 0 <= digits.train_images.min() <= digits.train_images.max() <= 1
    # Of each class a quarter, rounded one way or the other.
    counts = torch.bincount(digits.train_labels) + torch.bincount(digits.test_labels)
    assert ((torch.bincount(digits.test_labels) - counts / 4).abs() <= 1).all()


def test_training_is_reproducible_and_leaves_the_global_random_state_alone() -> None:
    digits = load_digits(seed=0)
    before = torch.get_rng_state()
    first, second, other = (train(digits, seed, epochs=1) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )
    assert not torch.equal(first[0].weight, other[0].weight)
    assert not first.training


def test_the_digital_network_has_learned_the_digits(draws: list[Draw]) -> None:
    assert of(draws, "digital")[0].mean > 96  # a linear classifier reaches about 95 % on these digits
    assert of(draws, "digital")[0].deviation == 0


@pytest.mark.parametrize("kind", ["ideal", "tuned"])
def test_ideal_crossbars_compute_what_the_digital_network_computes(draws: list[Draw], kind: str) -> None:
    digital, patched = of(draws, "digital")[0], of(draws, kind)[0]
    assert patched.mean == digital.mean
    # float32: conductances are rounded to 6e-8 of themselves, four layers in a row, sums of up to 512 products.
    assert patched.deviation < 1e-5


def assert_falling(accuracy: list[float]) -> None:
    assert all(after <= before + TWO_IMAGES for before, after in itertools.pairwise(accuracy))
    assert accuracy[-1] < accuracy[0]


def test_fewer_bits_are_worse(draws: list[Draw]) -> None:
    deviation = [summary.deviation for summary in of(draws, "adc")]
    assert deviation == sorted(deviation)
    assert_falling([summary.mean for summary in of(draws, "adc")])


def test_more_variability_is_worse(draws: list[Draw]) -> None:
    summaries = of(draws, "variability")
    assert [summary.draws for summary in summaries] == [OPTIONS.draws] * 3
    deviation = [summary.deviation for summary in summaries]
    assert deviation[0] > 0
    assert deviation == sorted(deviation)
    assert_falling([of(draws, "ideal")[0].mean, *(summary.mean for summary in summaries)])


def test_fewer_states_are_worse_and_devices_are_left_in_no_other(draws: list[Draw]) -> None:
    deviation = [summary.deviation for summary in of(draws, "states")]
    assert deviation == sorted(deviation)
    for draw in draws:
        if draw.experiment.kind == "states":
            assert draw.conductance is not None
            allowed = np.linspace(1 / 1000, 1 / 50, int(draw.experiment.setting or 0))  # VTEAM's 1/r_off to 1/r_on
            distance = np.abs(draw.conductance[:, None] - allowed).min(axis=1)
            assert distance.max() < 1e-8  # float32 rounding of at most 0.02 S: 1.2e-9


def test_wires_cost_more_the_longer_and_the_more_resistive_they_are(draws: list[Draw]) -> None:
    deviation = {(s.experiment.setting, s.experiment.tile): s.deviation for s in of(draws, "wires")}
    assert sorted(deviation) == [(ohm, side) for ohm in OPTIONS.line_resistance for side in OPTIONS.wire_tiles]
    for ohm in OPTIONS.line_resistance:
        assert sorted(OPTIONS.wire_tiles, key=lambda side: deviation[ohm, side]) == list(OPTIONS.wire_tiles)
    for side in OPTIONS.wire_tiles:
        assert sorted(OPTIONS.line_resistance, key=lambda ohm: deviation[ohm, side]) == list(OPTIONS.line_resistance)


def test_the_lost_voltage_is_that_of_the_tile_and_grows_away_from_drivers_and_senses(draws: list[Draw]) -> None:
    for draw in draws:
        assert (draw.drop is not None) == (draw.experiment.kind == "wires")
        if draw.drop is not None:
            assert draw.drop.shape == (draw.experiment.tile, draw.experiment.tile)
            assert 0 < draw.drop.min() < draw.drop.max() < 1  # of 1 V
            assert draw.drop[-1, 0] < 0.1 * draw.drop[0, -1]  # next to a driver and a sense, and farthest from both


def test_ideal_wires_lose_nothing() -> None:
    options = StudyOptions(epochs=1, adc_bits=(), variability=(), states=(), line_resistance=(0,), wire_tiles=(64,))
    *_, tuned, wired = Study(options).run()
    assert wired.drop is not None
    assert wired.drop.max() < 1e-12  # a solution's residual
    # float32: both are fits to the same readout, by way of the same weights or of their sums over tiles.
    assert abs(wired.deviation - tuned.deviation) < 1e-5


def test_variable_devices_stay_within_their_range(draws: list[Draw]) -> None:
    strongest = next(d for d in draws if d.experiment == Experiment("variability", 50) and d.conductance is not None)
    assert strongest.conductance is not None
    assert strongest.conductance.min() > 0
    # No weight asks for more than 1/r_on of the mean device, and no r_off comes below the geometric mean.
    assert strongest.conductance.max() <= 1 / 50 * (1 + 1e-6)


def test_no_variability_changes_no_parameter() -> None:
    assert variable_bounds(MODELS[0], 0) == {}


@pytest.mark.parametrize("model", MODELS)
def test_the_bounds_of_a_variable_device_never_cross(model: type) -> None:
    bounds = variable_bounds(model, 100)
    r_on = [bounds["r_on"]() for _ in range(200)]
    r_off = [bounds["r_off"]() for _ in range(200)]
    assert min(r_on) > 0
    assert max(r_on) < min(r_off)


@pytest.mark.parametrize("model", MODELS)
def test_every_device_model_runs_through_the_study(model: type) -> None:
    options = StudyOptions(model=model, epochs=1, draws=1, adc_bits=(8,), variability=(50,), states=(4,), wire_tiles=())
    found = list(Study(options).run())
    assert len(found) == 6
    assert all(math.isfinite(draw.deviation) for draw in found)
    digital, ideal = found[:2]
    assert ideal.accuracy == digital.accuracy
    assert ideal.deviation < 1e-4  # r_on and r_off less than a factor of 2 apart: half of the digits cancel


def test_the_same_seed_gives_the_same_results_and_the_tiling_changes_no_device() -> None:
    options = StudyOptions(epochs=1, draws=2, adc_bits=(), variability=(30,), states=(), wire_tiles=())
    before = torch.get_rng_state()
    first, second = list(Study(options).run()), list(Study(options).run())
    assert torch.equal(torch.get_rng_state(), before)
    for a, b in zip(first, second, strict=True):
        assert (a.experiment, a.index, a.accuracy, a.deviation) == (b.experiment, b.index, b.accuracy, b.deviation)
    assert first[-1].deviation != first[-2].deviation  # two draws are two chips

    small_tiles = next(
        draw for draw in Study(dataclasses.replace(options, tile_shape=(100, 48))).run() if draw.conductance is not None
    )
    ideal = first[1].conductance
    assert ideal is not None
    assert small_tiles.conductance is not None
    assert ideal.size == 2 * 512 * 64  # two columns per output; padding cells of the tiles are not counted
    np.testing.assert_array_equal(np.sort(small_tiles.conductance), np.sort(ideal))


def test_a_step_is_announced_before_each_epoch_and_each_draw() -> None:
    labels: list[str] = []
    study = Study(StudyOptions(epochs=2, draws=2, adc_bits=(8, 8), variability=(10,), states=(), wire_tiles=()))
    assert len(list(study.run(labels.append))) == study.evaluations == 6  # a repeated setting counts once
    assert len(labels) == study.steps == 8
    assert labels[:3] == ["training the network", "training the network", "digital network"]


def test_the_largest_layer_of_the_network_is_the_first_linear_one() -> None:
    assert max(parameter.numel() for parameter in SmallCnn().parameters()) == 512 * 64


def some_draws() -> list[Draw]:
    cells = np.linspace(1e-3, 2e-2, 50)
    return [
        Draw(Experiment("digital"), 0, 99.0, 0.0),
        Draw(Experiment("ideal"), 0, 99.0, 1e-7, cells),
        Draw(Experiment("variability", 10), 0, 98.0, 0.1, cells),
        Draw(Experiment("variability", 10), 1, 96.0, 0.3),
        Draw(Experiment("wires", 0.1, 64), 0, 97.0, 0.2, drop=np.outer(cells, cells)),
    ]


def test_a_summary_holds_mean_deviation_and_range() -> None:
    summary = report.summarize(some_draws())[-2]
    assert (summary.draws, summary.mean, summary.lowest, summary.highest) == (2, 97.0, 96.0, 98.0)
    assert summary.std == pytest.approx(math.sqrt(2), rel=1e-15)  # sample standard deviation of 98 and 96
    assert summary.deviation == pytest.approx(0.2, rel=1e-15)


def test_one_draw_has_no_spread() -> None:
    assert report.summarize(some_draws())[0].std is None


@pytest.mark.parametrize(
    ("fraction", "text"), [(0, "0.00 %"), (1e-7, "1e-05 %"), (1e-4, "0.01 %"), (0.12345, "12.35 %"), (2, "200.00 %")]
)
def test_percentages_never_round_to_nothing(fraction: float, text: str) -> None:
    assert report.percent(fraction) == text


def test_the_csv_files_hold_summaries_and_draws(tmp_path: pathlib.Path) -> None:
    results, single = report.write_csv(tmp_path, some_draws())
    with results.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["experiment"] for row in rows] == ["digital", "ideal", "variability", "wires"]
    assert rows[2] == {
        "experiment": "variability",
        "setting": "10",
        "tile": "",
        "draws": "2",
        "accuracy_mean_pct": "97",
        "accuracy_std_pct": "1.41421",
        "accuracy_min_pct": "96",
        "accuracy_max_pct": "98",
        "logit_deviation": "0.2",
    }
    assert (rows[3]["setting"], rows[3]["tile"]) == ("0.1", "64")
    assert rows[0]["setting"] == rows[0]["accuracy_std_pct"] == ""
    with single.open(newline="") as file:
        assert [row["accuracy_pct"] for row in csv.DictReader(file)] == ["99", "99", "98", "96", "97"]


def test_the_options_are_recorded(tmp_path: pathlib.Path) -> None:
    record = json.loads(report.write_options(tmp_path, OPTIONS).read_text())
    assert record["model"] == "VTEAM"
    assert record["tile_shape"] == [128, 128]
    assert record["draws"] == 5


def test_only_the_plots_with_data_are_written_and_of_the_others_only_those_of_an_earlier_run_are_removed(
    tmp_path: pathlib.Path,
) -> None:
    assert "accuracy_variability.png" in {path.name for path in write_plots(tmp_path, some_draws())}
    for name in ("conductance.png", "notes.png"):
        (tmp_path / name).write_bytes(b"mine")
    names = [path.name for path in write_plots(tmp_path, some_draws()[:1])]
    assert names == ["hysteresis.png"]
    assert {path.name for path in tmp_path.iterdir()} == {"hysteresis.png", "conductance.png", "notes.png"}


def test_every_plot_is_a_picture_with_something_on_it(tmp_path: pathlib.Path, draws: list[Draw]) -> None:
    paths = write_plots(tmp_path, draws)
    assert len(paths) == 6
    for path in paths:
        pixels = imread(path)
        assert pixels.shape[0] > 500
        assert pixels[..., :3].std() > 0.05  # an empty frame has less ink


def test_each_model_has_a_pinched_loop_with_hysteresis() -> None:
    panels = plot_hysteresis(MODELS).axes
    assert [axes.get_title() for axes in panels[:5]] == [model.__name__ for model in MODELS]
    for axes in panels[:5]:
        voltage, current = axes.lines[0].get_data()
        voltage, current = np.asarray(voltage), np.asarray(current)
        # Pinched: the current has the voltage's sign (and so vanishes with it).
        assert (voltage * current >= 0).all()
        # Open: at half the amplitude, the largest and the smallest current of the last period differ.
        last = slice(len(voltage) // 2, None)
        near = np.abs(voltage[last] - 0.5 * voltage.max()) < 0.03 * voltage.max()
        assert current[last][near].max() > 1.1 * current[last][near].min()
        assert axes.get_xlabel() == "Voltage (V)"
