"""Builds memtorch for a GPU without Bazel, checks it against the CPU, and times it: `./tools/dev gpu`.

Needs nvcc, a GPU, g++, and a Python with torch, numpy and nanobind; with GoogleTest's sources the C++ tests run, too
($GOOGLETEST names their folder), and with compute-sanitizer its tools. What came out stands in report.md, with a log of
every step beside it.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from build_files import Workspace
from builder import Builder, BuildError
from machine import ROOT, describe, find_googletest, find_sanitizer, find_toolkit, settings

EXTENSION = "_engine" + sysconfig.get_config_var("EXT_SUFFIX")
SANITIZERS = ("memcheck", "racecheck", "initcheck")
# What sanitizers run where there is no GoogleTest: Python and torch make them slow.
SMALL_SCENARIOS = ("conductances_that_are_written_in_every_way", "reads_of_a_crossbar", "reads_through_wires")
# What the package's tests need beside the package, and the device that they then put everything on.
TEST_MODULES = ("pytest", "hypothesis", "matplotlib", "scipy")
TEST_MARKS = "not checks_values and not host_only"
# Seconds after which a step is given up, and the whole: what has not begun by then has at least MIN_SECONDS.
STEP_SECONDS, ALL_SECONDS, MIN_SECONDS = 150, 480, 20
ALL_TESTS_SECONDS = 900


@dataclass
class Report:
    """What has been done so far; every step prints its line when it ends."""

    folder: pathlib.Path
    all_tests: bool
    lines: list[str] = field(default_factory=list)
    passed: bool = True
    start: float = field(default_factory=time.perf_counter)

    def step(self, name: str, command: Sequence[str | pathlib.Path], **environment: str) -> str:
        """Runs a command, with its output in a log of its own, and returns that."""
        log = self.folder / (name.replace(" ", "_") + ".log")
        start = time.perf_counter()
        end = self.start + ALL_SECONDS + (ALL_TESTS_SECONDS if self.all_tests else 0)
        allowed = max(MIN_SECONDS, min(STEP_SECONDS, end - start))
        with log.open("w", encoding="utf-8") as out:
            try:
                done = subprocess.run(
                    [str(part) for part in command],
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **environment},
                    cwd=ROOT,
                    timeout=allowed,
                    check=False,
                )
                good, why = done.returncode == 0, f"exit code {done.returncode}"
            except subprocess.TimeoutExpired:
                good, why = False, f"more than {allowed:.0f} s"
        self.add(name, good, time.perf_counter() - start, "" if good else f"{why}, see {log.name}")
        return log.read_text(encoding="utf-8", errors="replace")

    def add(self, name: str, good: bool | None, seconds: float, note: str = "") -> None:
        """The line of a step; None: it was not done."""
        how = {True: "passed", False: "FAILED", None: "not done"}[good]
        self.passed &= good is not False
        self.lines.append(f"| {name} | {how} | {seconds:.1f} s | {note} |")
        print(f"{how:9} {name} ({seconds:.1f} s) {note}", flush=True)

    def write(self, head: str, table: str) -> None:
        """Writes report.md."""
        steps = "\n".join(["| step | result | time | |", "|---|---|---|---|", *self.lines])
        (self.folder / "report.md").write_text(f"{head}\n\n{steps}\n\n{table}", encoding="utf-8")


def refuse() -> str:
    """Why this machine cannot run it; empty if it can."""
    if find_toolkit() is None:
        return "there is no CUDA toolkit: name its folder in CUDA_HOME"
    missing = [name for name in ("torch", "numpy", "nanobind") if importlib.util.find_spec(name) is None]
    if missing:
        return f"{sys.executable} has no {', '.join(missing)}"
    import torch

    return "" if torch.cuda.is_available() else f"torch {torch.__version__} finds no GPU"


def build(folder: pathlib.Path, kind: str, jobs: int) -> tuple[pathlib.Path, list[pathlib.Path]]:
    """Builds the extension and the C++ programs of a kind: "gpu", "emulated" or "plain", which has none.

    Returns:
        The folder that holds the package with the extension, and the programs: tests, and an example that is one.

    Raises:
        BuildError: A command failed.
    """
    workspace = Workspace(ROOT, settings(folder / "external", cuda=kind == "gpu"))
    toolkit = find_toolkit()
    builder = Builder(workspace, folder, str(toolkit[0] / "bin/nvcc") if toolkit else None, jobs)
    place = {"gpu": "cuda/", "emulated": "emulated/", "plain": ""}[kind]
    package = assemble(folder / kind / "py")
    tests: dict[pathlib.Path, str] = {}
    if kind != "plain" and find_googletest():
        names = [t.label for t in workspace.targets("//tests/cpp/cuda") if t.kind == "cc_test"]
        tests = {folder / kind / n.rpartition(":")[2]: n for n in names if n.endswith(f"_{kind}")}
    if kind == "gpu":
        tests[folder / kind / "devices_on_gpu"] = "//examples/cpp:devices_on_gpu"
    builder.build({package / "memtorch" / EXTENSION: f"//bindings:{place}{EXTENSION}", **tests})
    return package, list(tests)


def assemble(folder: pathlib.Path) -> pathlib.Path:
    """A folder with the package's Python files as links, beside which an extension can be put."""
    package = folder / "memtorch"
    package.mkdir(parents=True, exist_ok=True)
    for link in package.iterdir():
        if link.is_symlink():
            link.unlink()
    for file in (ROOT / "py/memtorch").iterdir():
        if not file.name.startswith(("_engine.", "__pycache__")):
            (package / file.name).symlink_to(file)
    return folder


def check_gpu(report: Report, folder: pathlib.Path, jobs: int) -> str:
    """All steps on a GPU; returns the benchmark's table."""
    package, tests = built(report, folder, "gpu", jobs)
    python_path = {"PYTHONPATH": f"{package}:{ROOT / 'tests/py'}"}
    say = "from memtorch import __version__, cuda; print(__version__, cuda.architectures()); exit(cuda.reason() or 0)"
    report.step("import", [sys.executable, "-c", say], **python_path)
    for test in tests:
        report.step(test.name, [test])
    parity = [sys.executable, ROOT / "tests/py/gpu_parity.py"]
    report.step("parity of CPU and GPU", parity, **python_path)
    table = report.step("benchmark", [sys.executable, ROOT / "tools/bench", "gpu"], **python_path)
    sanitize(report, tests, [*parity, *SMALL_SCENARIOS], python_path)
    if report.all_tests:
        run_test_files(report, folder, package, MEMTORCH_TEST_DEVICE="cuda:0")
    return table


def run_test_files(report: Report, folder: pathlib.Path, package: pathlib.Path, **environment: str) -> None:
    """Runs the package's tests that know nothing of GPUs (tests/py/BUILD.bazel), with all that they make on one."""
    missing = [name for name in TEST_MODULES if importlib.util.find_spec(name) is None]
    if missing:
        report.add("the package's tests", None, 0, f"{sys.executable} has no {', '.join(missing)}")
        return
    targets = Workspace(ROOT, settings(folder / "external", cuda=False)).targets("//tests/py")
    names = [target.label.rpartition(":")[2] for target in targets]
    options = ["-p", "no:cacheprovider", "-o", f"pythonpath={package} tests/py tools", "-m", TEST_MARKS]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for name in names:
            test, _, kind = name.rpartition("_")
            if kind == "pretended":
                command = [sys.executable, "-m", "pytest", *options, f"tests/py/{test}.py"]
                pool.submit(report.step, test, command, MPLBACKEND="Agg", CI="true", **environment)


def sanitize(report: Report, tests: list[pathlib.Path], parity: list[str | pathlib.Path], env: dict[str, str]) -> None:
    """Runs the programs under compute-sanitizer, or where there is no GoogleTest a part of the parity tests."""
    sanitizer = find_sanitizer()
    if sanitizer is None:
        report.add("compute-sanitizer", None, 0, "it was not found")
        return
    programs: dict[str, list[str | pathlib.Path]] = {test.name: [test] for test in tests}
    if find_googletest() is None:
        programs["parity"] = parity
    # They are slow and leave most of a GPU to others.
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        for tool in SANITIZERS:
            command = [sanitizer, "--tool", tool, "--error-exitcode", "9"]
            for name, program in programs.items():
                pool.submit(report.step, f"{tool} {name}", [*command, *program], **env)


def check_emulated(report: Report, folder: pathlib.Path, jobs: int) -> str:
    """The same on the CPU, with the emulation in place of a GPU; nothing is timed."""
    package, tests = built(report, folder, "emulated", jobs)
    plain, _ = built(report, folder, "plain", jobs)
    for test in tests:
        report.step(test.name, [test])
    parity, saved = [sys.executable, ROOT / "tests/py/gpu_parity.py"], report.folder / "cpu.pt"
    report.step("results of the CPU", [*parity, "--save", saved], PYTHONPATH=str(plain))
    report.step("parity of CPU and emulation", [*parity, "--against", saved], PYTHONPATH=str(package))
    if report.all_tests:
        emulation = str(package / "memtorch" / EXTENSION)
        run_test_files(report, folder, plain, MEMTORCH_TEST_DEVICE="cuda:1", MEMTORCH_TEST_PRETENDED=emulation)
    return ""


def built(report: Report, folder: pathlib.Path, kind: str, jobs: int) -> tuple[pathlib.Path, list[pathlib.Path]]:
    """``build``, reported; what follows needs it."""
    start = time.perf_counter()
    try:
        package, tests = build(folder, kind, jobs)
    except BuildError as error:
        (report.folder / f"build_{kind}.log").write_text(str(error), encoding="utf-8")
        report.add(f"build ({kind})", False, time.perf_counter() - start, f"see build_{kind}.log")
        raise
    report.add(f"build ({kind})", True, time.perf_counter() - start)
    if find_googletest() is None and kind != "plain":
        report.add("C++ tests", None, 0, "GoogleTest's sources were not found: name their folder in GOOGLETEST")
    return package, tests


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="./tools/dev gpu", description="Build, check and time memtorch on a GPU.")
    parser.add_argument("--report", type=pathlib.Path, default=ROOT / "build/gpu/report", help="folder for the report")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="compilers at once")
    parser.add_argument("--all-tests", action="store_true", help="the package's tests too: minutes more")
    parser.add_argument("--emulated", action="store_true", help="try the command on the CPU, which stands for a GPU")
    chosen = parser.parse_args(arguments)
    reason = "" if chosen.emulated else refuse()
    if reason:
        print(f"memtorch: ./tools/dev gpu needs a GPU and what computes on it: {reason}", file=sys.stderr)
        return 1
    folder = ROOT / "build/gpu"
    shutil.rmtree(chosen.report, ignore_errors=True)
    chosen.report.mkdir(parents=True)
    report = Report(chosen.report.resolve(), chosen.all_tests)
    check: Callable[[Report, pathlib.Path, int], str] = check_emulated if chosen.emulated else check_gpu
    table = ""
    try:
        table = check(report, folder, chosen.jobs)
    except BuildError as error:
        print(error, file=sys.stderr)
    report.write(describe(emulated=chosen.emulated), table)
    print(f"{report.folder / 'report.md'}: {'all passed' if report.passed else 'not all passed'}")
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
