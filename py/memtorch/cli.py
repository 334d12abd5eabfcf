"""The command line: ``memtorch demo``, ``memtorch models``, ``memtorch --version``.

Exit status: 0 done, 1 a file could not be written, 2 a bad option (one line says which, and what is allowed),
130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from memtorch._errors import InvalidArgument
from memtorch.version import __version__

if TYPE_CHECKING:
    from rich.console import Console

    from memtorch.demo.study import Draw, StudyOptions

Number = TypeVar("Number", int, float)
TABLE_WIDTH = 80  # columns that the tables need; a narrower terminal breaks their lines
INTERRUPTED = 130  # what shells report for a program ended by Ctrl-C: 128 + SIGINT


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, those about unknown options included."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parses everything; what is unknown is an error."""
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unknown arguments: {' '.join(unknown)}")
        return known, unknown

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


class _TileShape(argparse.Action):
    """Takes ``ROWS COLS`` or ``ROWSxCOLS``."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        sizes = [part for value in values for part in value.lower().split("x")]
        if len(sizes) != 2 or not all(size.isascii() and size.isdigit() and int(size) > 0 for size in sizes):
            message = (
                f"argument {option}: two positive whole numbers (such as 128x128) expected, got {' '.join(values)}"
            )
            parser.error(message)
        setattr(namespace, self.dest, (int(sizes[0]), int(sizes[1])))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: of the command line without the program's name; None: those of this process.

    Returns:
        The exit status; see the module's docstring.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        return options.command(options)
    except InvalidArgument as error:
        print(f"memtorch: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("memtorch: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of standard output (head, a pager) has seen enough. Python would complain when it flushes at exit.
        sys.stdout = None
        return 0
    except OSError as error:
        print(f"memtorch: error: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="memtorch", description="Neural networks on memristor crossbars, simulated.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"memtorch {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)
    demo = commands.add_parser(
        "demo",
        help="patch a trained network onto crossbars and measure what device physics does to it",
        description=(
            "Trains a small convolutional network on scikit-learn's handwritten digits, maps it onto tiled memristor "
            "crossbars and measures its test accuracy: ideal, tuned, with ADCs, with device-to-device variability, and "
            "with few conductance states. Prints a table; writes CSV files and plots."
        ),
        allow_abbrev=False,
    )
    _add_demo_options(demo)
    demo.set_defaults(command=lambda options: _demo(options, demo))
    models = commands.add_parser(
        "models",
        help="list the device models with their parameters",
        description="Lists every device model with its parameters, their defaults and units.",
        allow_abbrev=False,
    )
    models.set_defaults(command=_models)
    return parser


def _add_demo_options(parser: argparse.ArgumentParser) -> None:
    from memtorch.bh.Quantize import quant_methods
    from memtorch.demo.study import DRAWS, MODELS, QUICK_DRAWS, StudyOptions

    default = StudyOptions()

    def add(name: str, help: str, shown: Any, **settings: Any) -> None:
        settings.setdefault("default", shown)
        shown = " ".join(map(str, shown)) if isinstance(shown, tuple) else shown
        parser.add_argument(name, help=f"{help} (default: {shown})".replace("%", "%%"), **settings)

    models = [model.__name__ for model in MODELS]
    add(
        "--model",
        "device model of every cell: " + ", ".join(models),
        default.model.__name__,
        choices=models,
        metavar="NAME",
    )
    add(
        "--tile-shape",
        "rows and columns of a crossbar tile, as 128x128 or 128 128",
        default.tile_shape,
        nargs="+",
        action=_TileShape,
        metavar="SIZE",
    )
    add("--seed", "start of everything random", default.seed, type=_number(int, 0, 2**31 - 1), metavar="N")
    add("--output", "folder for the CSV files and plots", Path("memtorch-demo"), type=_folder, metavar="DIR")
    add(
        "--draws",
        "how often the devices are drawn anew for each strength of variability",
        DRAWS,
        type=_number(int, 1, 10_000),
        metavar="N",
        default=None,
    )
    parser.add_argument(
        "--quick", action="store_true", help=f"fewer draws, {QUICK_DRAWS} unless --draws is given: under 20 seconds"
    )
    add(
        "--adc-bits",
        "resolutions of the ADC at the end of each tile's columns",
        default.adc_bits,
        nargs="*",
        type=_number(int, 1, 32),
        metavar="BITS",
    )
    add(
        "--quant-method",
        "how the ADC rounds: " + ", ".join(quant_methods),
        default.quant_method,
        choices=quant_methods,
        metavar="NAME",
    )
    add(
        "--variability",
        "standard deviations of r_on and r_off, in % of their means",
        default.variability,
        nargs="*",
        type=_number(float, 0, 100),
        metavar="PERCENT",
    )
    add(
        "--states",
        "numbers of conductance states that a device can be left in",
        default.states,
        nargs="*",
        type=_number(int, 2, 65_536),
        metavar="COUNT",
    )
    add(
        "--line-resistance",
        "resistances of a word or bit line between neighbouring cells, in ohm",
        default.line_resistance,
        nargs="*",
        type=_number(float, 0, 1e6),
        metavar="OHM",
    )
    add(
        "--wire-tiles",
        "sides of the square tiles for which each line resistance is solved",
        default.wire_tiles,
        nargs="*",
        type=_number(int, 1, 1024),
        metavar="SIZE",
    )
    add("--epochs", "passes over the training images", default.epochs, type=_number(int, 1, 1000), metavar="N")


def _number(kind: type[Number], low: Number, high: Number) -> Callable[[str], Number]:
    """A converter for argparse that says what is allowed."""
    noun = "a whole number" if kind is int else "a number"

    def convert(text: str) -> Number:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:  # NaN fails too
            raise argparse.ArgumentTypeError(f"{noun} from {low} to {high} expected, got {text!r}")
        return value

    return convert


def _folder(text: str) -> Path:
    """A path; an empty one, such as a shell variable that is not set, would be the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("the name of a folder expected, got ''")
    return Path(text)


def _demo(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    from rich.console import Console

    # Imported here, because an interrupt between the last draw and the files must not lose the draws.
    from memtorch.demo import plots, report  # noqa: F401
    from memtorch.demo.progress import ProgressReporter
    from memtorch.demo.study import DRAWS, MODELS, QUICK_DRAWS, Study, StudyOptions

    _prepare_folder(options.output, parser)
    study = Study(
        StudyOptions(
            model=next(model for model in MODELS if model.__name__ == options.model),
            tile_shape=options.tile_shape,
            seed=options.seed,
            epochs=options.epochs,
            draws=options.draws or (QUICK_DRAWS if options.quick else DRAWS),
            adc_bits=tuple(options.adc_bits),
            quant_method=options.quant_method,
            variability=tuple(options.variability),
            states=tuple(options.states),
            line_resistance=tuple(options.line_resistance),
            wire_tiles=tuple(options.wire_tiles),
        )
    )
    draws: list[Draw] = []
    interrupted = False
    try:
        with ProgressReporter(study.steps, Console(stderr=True)) as progress:
            for draw in study.run(progress.step):
                draws.append(draw)
    except KeyboardInterrupt:
        interrupted = True
        unfinished = f"interrupted after {len(draws)} of {study.evaluations} evaluations"
        print(f"memtorch demo: {unfinished}{'; reporting these' if draws else ''}", file=sys.stderr)
    if draws:
        _report(study.options, draws, options.output)
    return INTERRUPTED if interrupted else 0


def _report(options: StudyOptions, draws: Sequence[Draw], folder: Path) -> None:
    from memtorch.demo import plots, report

    rows, columns = options.tile_shape
    title = f"Handwritten digits on {options.model.__name__} crossbars, tiles {rows}x{columns}, seed {options.seed}"
    # What an interrupt must not lose comes first; a reader who leaves early (head) must not cost a file.
    written = [*report.write_csv(folder, draws), report.write_options(folder, options)]
    console = _console()
    try:
        written += plots.write_plots(folder, draws)
    finally:
        console.print(report.table(report.summarize(draws), title))
        console.print(report.LEGEND, markup=False)
        console.print(f"Written to {folder}: {', '.join(path.name for path in written)}", markup=False, soft_wrap=True)


def _prepare_folder(folder: Path, parser: argparse.ArgumentParser) -> None:
    """Creates the folder and tries to write to it, before a minute of work is spent."""
    if folder.exists() and not folder.is_dir():
        parser.error(f"argument --output: {folder} is not a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        parser.error(f"argument --output: cannot write to {folder}: {error.strerror}")


def _console() -> Console:
    """Standard output, for tables.

    Unlike rich's own it cuts off no number on a narrow terminal, and leaves it to `main` to end well when the reader is
    gone.
    """
    from rich.console import Console

    class Output(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    console = Output(highlight=False)
    console.width = max(console.width, TABLE_WIDTH)
    return console


def _models(options: argparse.Namespace) -> int:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from memtorch.bh._model_table import model_table
    from memtorch.demo.study import MODELS

    console = _console()
    for model in MODELS:
        table = model_table(model.__name__)
        shown = Table(
            title=f"{table.name}: {table.summary}\n{table.reference}",
            title_justify="left",
            box=box.SIMPLE_HEAD,
            pad_edge=False,
        )
        shown.add_column("Parameter")
        shown.add_column("Default", justify="right")
        shown.add_column("Unit")
        shown.add_column("Meaning")
        shown.add_row("time_series_resolution", f"{table.time_series_resolution:g}", "s", "Time between samples.")
        elements = {part: f"{name}[{k}]" for name, parts in table.lists.items() for k, part in enumerate(parts)}
        for field in table.params:
            name = elements.get(field.name, field.name)
            shown.add_row(escape(name), f"{field.default:.10g}", field.unit, field.doc)
        console.print(shown)
    return 0
