"""Compiles and links targets of Bazel's files without Bazel: g++ and nvcc, as many at once as there are processors."""

from __future__ import annotations

import concurrent.futures
import os
import pathlib
import shlex
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass

from build_files import Target, Workspace

__all__ = ["BuildError", "Builder"]


class BuildError(Exception):
    """A command failed; the message holds it and what it said."""


@dataclass(frozen=True)
class _Made:
    """A file and the command that makes it."""

    output: pathlib.Path
    command: tuple[str, ...]

    @property
    def made_by(self) -> pathlib.Path:
        """The file that holds the command that made it last, as old as the start of that."""
        return pathlib.Path(f"{self.output}.command")

    def is_fresh(self) -> bool:
        """Whether it was made by this command, and from what is there now by what the compiler says of it."""
        dependencies = pathlib.Path(f"{self.output}.d")
        if not all(file.exists() for file in (self.output, dependencies, self.made_by)):
            return False
        if self.made_by.read_text(encoding="utf-8") != shlex.join(self.command):
            return False
        made = self.made_by.stat().st_mtime
        _, _, files = dependencies.read_text(encoding="utf-8").replace("\\\n", " ").partition(": ")
        paths = [pathlib.Path(name) for name in files.split()]
        return all(path.exists() and path.stat().st_mtime <= made for path in paths)


class Builder:
    """Builds targets of a workspace in a folder; what is newer than all that it was made from is left alone.

    Args:
        workspace: The targets.
        folder: Where everything that is built goes, absolute.
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
        self._all([each for each in needed.values() if not each.is_fresh()])
        self._all([self._link(output, label, [o.output for o in objects[label]]) for output, label in outputs.items()])

    # ---- Commands --------------------------------------------------------------------------------------------------

    def _objects(self, label: str) -> list[_Made]:
        return [each for target in self._workspace.closure(label) for each in self._objects_of(target)]

    def _objects_of(self, target: Target) -> list[_Made]:
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

    def _host_object(self, target: Target, source: pathlib.Path) -> _Made:
        output = self._output(target, source.name)
        flags = [*target.get("copts"), *(f"-D{define}" for define in target.get("local_defines"))]
        # Another compiler's new warnings are no reason not to build.
        command = [self._cxx, "-fPIC", "-DNDEBUG", *flags, "-Wno-error", "-iquote", str(self._workspace.root)]
        command += [part for folder in self._folders(target) for part in ("-isystem", folder)]
        return _Made(output, (*command, "-MD", "-MF", f"{output}.d", "-c", str(source), "-o", str(output)))

    def _cuda_object(self, target: Target) -> _Made:
        if self._nvcc is None:
            raise BuildError(f"{target.label} needs nvcc")
        output = self._output(target, target.attributes["src"])
        said = self._workspace.command(target, output, self._folders(target))
        command = [part for part in said if not part.startswith("--Werror")]  # as above
        return _Made(output, (*command, "-MD", "-MF", f"{output}.d"))

    def _output(self, target: Target, name: str) -> pathlib.Path:
        package, _, rule = target.label.strip("@/").partition(":")
        return self._folder / "objects" / package.replace("//", "/") / rule / f"{name}.o"

    def _folders(self, target: Target) -> list[str]:
        """Folders of headers outside the workspace."""
        libraries = self._workspace.closure(target.label)
        return list(dict.fromkeys(str(each.folder / folder) for each in libraries for folder in each.get("includes")))

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

    def _link(self, output: pathlib.Path, label: str, objects: Iterable[pathlib.Path]) -> _Made:
        root = self._workspace.target(label)
        options: list[str] = []
        archives: list[str] = []
        for target in self._workspace.closure(label):
            options += [self._located(option, target) for option in target.get("linkopts")]
            archives += [str(target.folder / s) for s in target.get("srcs") if s.endswith(".a")]
        shared = ["-shared"] if root.attributes.get("linkshared") else []
        inputs = [*map(str, objects), *dict.fromkeys(archives), *dict.fromkeys(options)]
        return _Made(output, (self._cxx, *shared, *inputs, "-o", str(output)))

    def _located(self, option: str, target: Target) -> str:
        head, mark, rest = option.partition("$(location ")
        if not mark:
            return option
        file, _, tail = rest.partition(")")
        return f"{head}{target.folder / file}{tail}"

    # ---- Running them ----------------------------------------------------------------------------------------------

    def _all(self, files: list[_Made]) -> None:
        with concurrent.futures.ThreadPoolExecutor(self._jobs) as pool:
            running = [pool.submit(self._make, file) for file in files]
            try:
                for each in concurrent.futures.as_completed(running):
                    each.result()
            except BuildError:
                pool.shutdown(cancel_futures=True)
                raise

    def _make(self, file: _Made) -> None:
        file.output.parent.mkdir(parents=True, exist_ok=True)
        start = time.time()
        self._run(file.command)
        file.made_by.write_text(shlex.join(file.command), encoding="utf-8")
        os.utime(file.made_by, (start, start))

    def _run(self, command: tuple[str, ...]) -> None:
        done = subprocess.run(command, cwd=self._workspace.root, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BuildError(f"{shlex.join(command)}\n{done.stdout}{done.stderr}")
