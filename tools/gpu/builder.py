"""Compiles and links targets of Bazel's files without Bazel: g++ and nvcc, as many at once as there are processors."""

from __future__ import annotations

import concurrent.futures
import os
import pathlib
import shlex
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

from build_files import Target, Workspace

__all__ = ["BuildError", "Builder"]


class BuildError(Exception):
    """A command failed; the message holds it and what it said."""


@dataclass(frozen=True)
class _Object:
    """An object file and the command that makes it."""

    output: pathlib.Path
    command: tuple[str, ...]

    @property
    def made_by(self) -> pathlib.Path:
        """The file that holds the command that made it last."""
        return pathlib.Path(f"{self.output}.command")

    def is_fresh(self) -> bool:
        """Whether it was made by this command, and after everything that the compiler says it was made from."""
        dependencies = pathlib.Path(f"{self.output}.d")
        if not all(file.exists() for file in (self.output, dependencies, self.made_by)):
            return False
        if self.made_by.read_text(encoding="utf-8") != shlex.join(self.command):
            return False
        made = self.output.stat().st_mtime
        _, _, files = dependencies.read_text(encoding="utf-8").replace("\\\n", " ").partition(": ")
        paths = [pathlib.Path(name) for name in files.split()]
        return all(path.exists() and path.stat().st_mtime <= made for path in paths)


class Builder:
    """Builds targets of a workspace in a folder; what is newer than all that it was made from is left alone.

    Args:
        workspace: The targets.
        folder: Where everything that is built goes.
        nvcc: The compiler of .cu files; None: targets with such files cannot be built.
        jobs: Commands at once.
    """

    def __init__(self, workspace: Workspace, folder: pathlib.Path, nvcc: str | None, jobs: int) -> None:
        self._workspace = workspace
        self._folder = folder
        self._nvcc = nvcc
        self._jobs = jobs
        self._cxx = os.environ.get("CXX", "g++")

    def build(self, outputs: dict[pathlib.Path, str]) -> None:
        """Links each of ``outputs`` from the target of that label: a program or, with ``linkshared``, a library.

        Raises:
            BuildError: A command failed.
        """
        objects = {label: self._objects(label) for label in outputs.values()}
        needed = {each.output: each for found in objects.values() for each in found}
        stale = [each for each in needed.values() if not each.is_fresh()]
        self._all([(each.command, each.output) for each in stale])
        for each in stale:
            each.made_by.write_text(shlex.join(each.command), encoding="utf-8")
        links = [
            (self._link(output, label, [each.output for each in objects[label]]), output)
            for output, label in outputs.items()
        ]
        self._all(links)

    # ---- Commands --------------------------------------------------------------------------------------------------

    def _objects(self, label: str) -> list[_Object]:
        return [each for target in self._workspace.closure(label) for each in self._objects_of(target)]

    def _objects_of(self, target: Target) -> list[_Object]:
        if target.kind == "cuda_object":
            return [self._cuda_object(target)]
        if target.kind not in ("cc_library", "cc_binary", "cc_test"):
            return []
        found = []
        for source in target.get("srcs"):
            if self._workspace.is_target(source, target):
                made = self._workspace.target(self._workspace.absolute(source, target))
                files = self._generated(made) if made.kind == "genrule" else []
            else:
                files = [target.folder / source]
            found += [self._host_object(target, file) for file in files if file.suffix in (".cc", ".cpp")]
        return found

    def _host_object(self, target: Target, source: pathlib.Path) -> _Object:
        output = self._output(target, source.name)
        flags = [*target.get("copts"), *(f"-D{define}" for define in target.get("local_defines"))]
        # Another compiler's new warnings are no reason not to build.
        command = [self._cxx, "-fPIC", "-DNDEBUG", *flags, "-Wno-error", "-iquote", str(self._workspace.root)]
        command += ["-MD", "-MF", f"{output}.d", *self._includes(target), "-c", str(source), "-o", str(output)]
        return _Object(output, tuple(command))

    def _cuda_object(self, target: Target) -> _Object:
        if self._nvcc is None:
            raise BuildError(f"{target.label} needs nvcc")
        source = target.folder / target.attributes["src"]
        output = self._output(target, source.name)
        flags = [*self._workspace.constant("//tools:cuda.bzl", "_NVCC_FLAGS"), *target.get("copts")]
        command = [self._nvcc, *flags, "-I", str(self._workspace.root), "-MD", "-MF", f"{output}.d"]
        return _Object(output, (*command, *self._includes(target), "-c", str(source), "-o", str(output)))

    def _output(self, target: Target, name: str) -> pathlib.Path:
        package, _, rule = target.label.strip("@/").partition(":")
        return self._folder / "objects" / package.replace("//", "/") / rule / f"{name}.o"

    def _includes(self, target: Target) -> list[str]:
        folders = [
            str(each.folder / folder)
            for each in self._workspace.closure(target.label)
            for folder in each.get("includes")
        ]
        return [part for folder in dict.fromkeys(folders) for part in ("-isystem", folder)]

    def _generated(self, rule: Target) -> list[pathlib.Path]:
        """The files of a genrule that takes nothing."""
        files = []
        for name in rule.get("outs"):
            file = self._folder / "generated" / rule.label.strip("/").partition(":")[0] / name
            file.parent.mkdir(parents=True, exist_ok=True)
            if not file.exists():
                command = rule.attributes["cmd"].replace("$@", shlex.quote(str(file))).replace("$$", "$")
                self._run(("bash", "-c", command))
            files.append(file)
        return files

    def _link(self, output: pathlib.Path, label: str, objects: Iterable[pathlib.Path]) -> tuple[str, ...]:
        root = self._workspace.target(label)
        options: list[str] = []
        archives: list[str] = []
        for target in self._workspace.closure(label):
            options += [self._located(option, target) for option in target.get("linkopts")]
            archives += [str(target.folder / s) for s in target.get("srcs") if s.endswith(".a")]
        shared = ["-shared"] if root.attributes.get("linkshared") else []
        return (
            self._cxx,
            *shared,
            *map(str, objects),
            *dict.fromkeys(archives),
            *dict.fromkeys(options),
            "-o",
            str(output),
        )

    def _located(self, option: str, target: Target) -> str:
        head, mark, rest = option.partition("$(location ")
        if not mark:
            return option
        file, _, tail = rest.partition(")")
        return f"{head}{target.folder / file}{tail}"

    # ---- Running them ----------------------------------------------------------------------------------------------

    def _all(self, commands: list[tuple[tuple[str, ...], pathlib.Path]]) -> None:
        for _, output in commands:
            output.parent.mkdir(parents=True, exist_ok=True)
        with concurrent.futures.ThreadPoolExecutor(self._jobs) as pool:
            running = [pool.submit(self._run, command) for command, _ in commands]
            try:
                for each in concurrent.futures.as_completed(running):
                    each.result()
            except BuildError:
                pool.shutdown(cancel_futures=True)
                raise

    def _run(self, command: tuple[str, ...]) -> None:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BuildError(f"{shlex.join(command)}\n{done.stdout}{done.stderr}")
