"""Reads Bazel's files as Python, so that a machine without Bazel builds the same sources with the same flags.

BUILD files and the macros in tools/*.bzl are run with stand-ins for what Bazel itself provides. Nothing is built here:
what is left is every target with its attributes. Where Bazel would ask the machine (``select``, external repositories),
``Settings`` answer.
"""

from __future__ import annotations

import fnmatch
import pathlib
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, NoReturn

__all__ = ["External", "Settings", "Target", "Workspace"]

# Rules of Bazel that BUILD files and macros name; each becomes a target of that kind.
RULES = (
    "alias",
    "cc_binary",
    "cc_library",
    "cc_test",
    "config_setting",
    "filegroup",
    "genrule",
    "sh_test",
)


@dataclass(frozen=True)
class External:
    """An external repository: its folder, and the text of its BUILD file."""

    folder: pathlib.Path
    build_file: str


@dataclass(frozen=True)
class Settings:
    """What this machine and this build answer.

    Attributes:
        externals: Repositories by name.
        values: What ``load("@repository//:defs.bzl", ...)`` finds, by repository and name.
        conditions: Labels of the conditions of ``select`` that hold, beside that of the processor.
    """

    externals: Mapping[str, External]
    values: Mapping[str, Mapping[str, Any]]
    conditions: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Target:
    """A target: its kind (the rule's name), its label, the folder that its files are relative to, its attributes.

    ``implementation``: of a rule that a .bzl file defines, the function that Bazel would call.
    """

    kind: str
    label: str
    folder: pathlib.Path
    attributes: Mapping[str, Any]
    implementation: Callable[[Any], Any] | None = None

    def get(self, name: str) -> list[Any]:
        """A list attribute; empty if it is not given."""
        return list(self.attributes.get(name) or [])


@dataclass
class _Package:
    """One BUILD file while it is read."""

    name: str  # "engine/cuda", or "@googletest//"
    folder: pathlib.Path
    targets: dict[str, Target] = field(default_factory=dict)

    def label(self, name: str) -> str:
        return f"{self.name}:{name}" if self.name.startswith("@") else f"//{self.name}:{name}"


class Workspace:
    """The targets of a Bazel workspace by label, read package by package when they are asked for."""

    def __init__(self, root: pathlib.Path, settings: Settings) -> None:
        self.root = root
        self._settings = settings
        self._packages: dict[str, _Package] = {}
        self._modules: dict[str, dict[str, Any]] = {}
        self._reading: _Package | None = None

    def again(self) -> Workspace:
        """The same workspace, to be read anew."""
        return Workspace(self.root, self._settings)

    def target(self, label: str) -> Target:
        """The target of a label like "//engine/cuda:kernels", "//engine" or "@googletest//:gtest", through aliases.

        Raises:
            KeyError: There is no such target.
        """
        package, _, name = label.partition(":")
        name = name or package.rpartition("/")[2]
        targets = self._package(package).targets
        if name not in targets:
            raise KeyError(f"there is no target {label}")
        found = targets[name]
        if found.kind == "alias":
            return self.target(self.absolute(found.attributes["actual"], found))
        return found

    def targets(self, package: str) -> Iterable[Target]:
        """All targets of a package like "//tests/cpp/cuda"."""
        return self._package(package).targets.values()

    def absolute(self, label: str, owner: Target) -> str:
        """A label as ``owner`` writes it, in full."""
        if label.startswith(("//", "@")):
            return label
        package = owner.label.partition(":")[0]
        return f"{package}:{label.removeprefix(':')}"

    def is_target(self, label: str, owner: Target) -> bool:
        """Whether an entry of a list names a target, and not a file."""
        if label.startswith(("//", "@", ":")):
            return True
        return label in self._package(owner.label.partition(":")[0]).targets

    def closure(self, label: str) -> Iterator[Target]:
        """A target and everything that it stands on through ``deps`` and targets among ``srcs``, each once."""
        seen: set[str] = set()
        waiting = [label]
        while waiting:
            target = self.target(waiting.pop())
            if target.label in seen:
                continue
            seen.add(target.label)
            yield target
            names = target.get("deps") + [s for s in target.get("srcs") if self.is_target(s, target)]
            waiting += [self.absolute(name, target) for name in names]

    def command(self, target: Target, output: pathlib.Path, includes: list[str]) -> list[str]:
        """The command that a rule of a .bzl file runs to make ``output`` of its ``src``.

        Args:
            target: Of such a rule.
            output: The file to make.
            includes: Folders of headers outside the workspace.
        """
        commands: list[list[str]] = []

        def run(executable: str, arguments: list[_Arguments], **options: Any) -> None:
            commands.append([executable, *(text for each in arguments for text in each.texts)])

        assert target.implementation is not None
        source = target.folder / target.attributes["src"]
        target.implementation(
            SimpleNamespace(
                actions=SimpleNamespace(args=_Arguments, declare_file=lambda name: output, run=run),
                attr=SimpleNamespace(**{**target.attributes, "deps": [{None: includes}]}),
                file=SimpleNamespace(src=SimpleNamespace(path=str(source), short_path=source.name)),
                files=SimpleNamespace(hdrs=[]),
                label=SimpleNamespace(name=target.label.partition(":")[2]),
            )
        )
        (command,) = commands
        return command

    def constant(self, file: str, name: str) -> Any:
        """A value that a .bzl file defines: ``constant("//tools:cuda.bzl", "_NVCC_FLAGS")``."""
        return self._module(file)[name]

    # ---- Reading ---------------------------------------------------------------------------------------------------

    def _package(self, package: str) -> _Package:
        if package in self._packages:
            return self._packages[package]
        if package.startswith("@"):
            repository = package[1:].partition("//")[0]
            external = self._settings.externals[repository]
            read = _Package(package, external.folder)
            text, file = external.build_file, f"@{repository}//BUILD.bazel"
        else:
            folder = self.root / package.removeprefix("//")
            read = _Package(package.removeprefix("//"), folder)
            text, file = (folder / "BUILD.bazel").read_text(encoding="utf-8"), f"{package}/BUILD.bazel"
        self._packages[package] = read
        before, self._reading = self._reading, read
        try:
            self._run(text, file)
        finally:
            self._reading = before
        return read

    def _module(self, label: str) -> dict[str, Any]:
        if label not in self._modules:
            path = label.removeprefix("//").replace(":", "/")
            self._modules[label] = self._run((self.root / path).read_text(encoding="utf-8"), path)
        return self._modules[label]

    def _run(self, text: str, file: str) -> dict[str, Any]:
        names: dict[str, Any] = {}

        def load(label: str, *symbols: str) -> None:
            if label.startswith("@"):
                repository = label[1:].partition("//")[0]
                module = self._settings.values[repository]
            else:
                module = self._module(label)
            names.update({symbol: module[symbol] for symbol in symbols})

        names.update(self._provided(), load=load)
        # A project's own files, in the language that Bazel's is a part of.
        exec(compile(text, file, "exec"), names)
        return names

    def _provided(self) -> dict[str, Any]:
        """What Bazel provides to its files."""

        def nothing(*args: Any, **kwargs: Any) -> None:
            return None

        rules = {kind: self._recorder(kind) for kind in RULES}
        native = SimpleNamespace(**rules, glob=self._glob, package_name=lambda: self._now().name)
        return {
            **rules,
            # What an attribute is that is not given.
            "attr": SimpleNamespace(
                bool=lambda **options: False,
                label=nothing,
                label_list=lambda **options: [],
                string=lambda **options: "",
                string_list=lambda **options: [],
            ),
            "CcInfo": None,
            "DefaultInfo": nothing,
            "cc_common": SimpleNamespace(merge_cc_infos=_merged),
            "depset": nothing,
            "exports_files": nothing,
            "fail": _fail,
            "glob": self._glob,
            "native": native,
            "package": nothing,
            "repository_rule": nothing,
            "rule": self._rule,
            "select": self._select,
        }

    def _now(self) -> _Package:
        if self._reading is None:
            raise RuntimeError("a .bzl file makes targets of its own")
        return self._reading

    def _recorder(self, kind: str) -> Callable[..., None]:
        def record(name: str, **attributes: Any) -> None:
            package = self._now()
            package.targets[name] = Target(kind, package.label(name), package.folder, attributes)

        return record

    def _rule(self, implementation: Callable[[Any], Any], attrs: Mapping[str, Any]) -> Callable[..., None]:
        def record(name: str, **attributes: Any) -> None:
            package = self._now()
            kind, given = _rule_name(implementation), {**attrs, **attributes}
            package.targets[name] = Target(kind, package.label(name), package.folder, given, implementation)

        return record

    def _glob(self, include: list[str], exclude: Iterable[str] = (), **options: Any) -> list[str]:
        folder = self._now().folder
        # In other packages lie other packages' files.
        found = (file for pattern in include for file in folder.glob(pattern) if file.is_file())
        names = sorted({file.relative_to(folder).as_posix() for file in found})
        return [name for name in names if not any(fnmatch.fnmatch(name, pattern) for pattern in exclude)]

    def _select(self, choices: Mapping[str, Any]) -> Any:
        holding = self._settings.conditions | {f"@platforms//cpu:{platform.machine()}"}
        return next((value for condition, value in choices.items() if condition in holding), None) or choices.get(
            "//conditions:default", []
        )


class _Arguments:
    """The arguments of a command as a rule collects them."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def add(self, *values: Any) -> None:
        self.texts += [getattr(value, "path", None) or str(value) for value in values]

    def add_all(self, values: Iterable[Any], before_each: str | None = None) -> None:
        for value in values:
            self.add(*([] if before_each is None else [before_each]), value)


def _merged(cc_infos: list[list[str]]) -> SimpleNamespace:
    """Of libraries, here the folders of their headers."""
    includes = [folder for folders in cc_infos for folder in folders]
    return SimpleNamespace(compilation_context=SimpleNamespace(system_includes=includes, headers=None))


def _rule_name(implementation: Callable[..., Any]) -> str:
    """ "cuda_object" of the function _cuda_object_impl."""
    return implementation.__name__.removeprefix("_").removesuffix("_impl")


def _fail(message: str) -> NoReturn:
    raise RuntimeError(message)
