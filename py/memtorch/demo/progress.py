"""How far a study is: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


class ProgressReporter:
    """Counts steps on standard error; standard output stays free for the results.

    Args:
        steps: in all.
        console: of standard error.
    """

    def __init__(self, steps: int, console: Console) -> None:
        self._console = console
        self._start = time.perf_counter()
        self._label = ""
        self._begun = 0
        self._progress = Progress(
            TextColumn("{task.description:<24}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._progress.add_task("starting", total=steps)

    def __enter__(self) -> ProgressReporter:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    def step(self, label: str) -> None:
        """A step begins, the one before it is done."""
        self._progress.update(self._task, completed=self._begun, description=label)
        self._begun += 1
        if label != self._label and not self._console.is_terminal:
            line = f"[{time.perf_counter() - self._start:5.1f} s] {label}"
            self._console.print(line, markup=False, highlight=False)
        self._label = label
