"""tools/gpu reads Bazel's files as Bazel does: targets, flags, generated files, and the answers of this machine."""

import pathlib
import subprocess
import sys

import pytest
import torch
from build_files import External, Settings, Workspace
from builder import Builder, BuildError

ROOT = pathlib.Path(__file__).parents[2]

MACROS = """
load("@env//:defs.bzl", "SUFFIX")
FLAGS = ["-O1"]

def many(name, srcs, **kwargs):
    if not srcs:
        fail("%s has no sources" % name)
    for kind, flags in {"a": ["-DKIND=1"], "b": select({"//:fast": ["-DKIND=2"], "//conditions:default": []})}.items():
        native.cc_library(name = name + "_" + kind, srcs = srcs, copts = FLAGS + flags, **kwargs)
    native.cc_library(name = name, deps = [":" + name + "_" + kind for kind in ["a", "b"]])

def _object_impl(ctx):
    context = cc_common.merge_cc_infos(cc_infos = [dep[CcInfo] for dep in ctx.attr.deps]).compilation_context
    output = ctx.actions.declare_file(ctx.label.name + ".o")
    args = ctx.actions.args()
    args.add_all(FLAGS)
    args.add_all(context.system_includes, before_each = "-isystem")
    args.add("--fast" if ctx.attr.fast else "--slow", ctx.file.src)
    args.add("-o", output)
    ctx.actions.run(executable = "compiler", arguments = [args], inputs = depset([ctx.file.src]), outputs = [output])
    return [DefaultInfo(files = depset([output]))]

_object = rule(
    implementation = _object_impl,
    attrs = {"src": attr.label(), "fast": attr.bool(), "deps": attr.label_list(providers = [CcInfo])},
)

def made(name):
    native.genrule(name = name, outs = [name + ".cc"], cmd = "echo 'int Made() { return 7; }' > $@")
    _object(name = name + "_object", src = name + ".cu", fast = True)
    _object(name = name + "_slow", src = name + ".cu")
"""

LIBRARY = """
load("//rules:rules.bzl", "made", "many", "SUFFIX")

many(name = "kinds", srcs = ["kinds.cc"], hdrs = glob(["*.h"], exclude = ["private.h"]), deps = ["@far//:far"])
made(name = "made")
cc_library(name = "library", srcs = [":made"], deps = [":kinds"])
alias(name = "other", actual = ":library")
config_setting(name = "setting", define_values = {"x": "1"})
"""

PROGRAM = """
cc_binary(name = "program" + "", srcs = ["main.cc"], linkopts = ["-lm"], deps = ["//library:other"])
cc_binary(name = "broken", srcs = ["broken.cc"])
"""

KINDS = """
#include "library/kinds.h"
#include <far.h>
#if KIND == 1
int One() { return FAR; }
#endif
"""

FILES = {
    "rules/rules.bzl": MACROS,
    "library/BUILD.bazel": LIBRARY,
    "library/kinds.cc": KINDS,
    "library/kinds.h": "int One();\nint Made();\n",
    "library/private.h": "",
    "program/BUILD.bazel": PROGRAM,
    "program/main.cc": '#include "library/kinds.h"\nint main() { return One() + Made(); }\n',
    "program/broken.cc": "int main() { return nothing; }\n",
    "far/include/far.h": "#define FAR 30\n",
}
FAR = 'cc_library(name = "far", hdrs = glob(["include/**/*.h"]), includes = ["include"])'


@pytest.fixture
def workspace(tmp_path):
    for name, text in FILES.items():
        file = tmp_path / "source" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    far = External(tmp_path / "source/far", FAR)
    return Workspace(tmp_path / "source", Settings({"far": far}, {"env": {"SUFFIX": ".so"}}, frozenset({"//:fast"})))


def test_macros_make_targets(workspace):
    assert workspace.target("//library:kinds_a").get("copts") == ["-O1", "-DKIND=1"]
    assert workspace.target("//library:kinds_b").get("copts") == ["-O1", "-DKIND=2"]
    assert workspace.target("//library:kinds_a").get("hdrs") == ["kinds.h"]
    assert workspace.target("//library:made_object").kind == "object"
    assert workspace.constant("//rules:rules.bzl", "FLAGS") == ["-O1"]


def test_rules_tell_their_commands(workspace, tmp_path):
    source, output = str(tmp_path / "source/library/made.cu"), tmp_path / "x.o"
    common = ["compiler", "-O1", "-isystem", "/a", "-isystem", "/b"]
    for name, flag in {"made_object": "--fast", "made_slow": "--slow"}.items():
        target = workspace.target(f"//library:{name}")
        assert workspace.command(target, output, ["/a", "/b"]) == [*common, flag, source, "-o", str(output)]


def test_labels_are_followed(workspace):
    assert workspace.target("//library:other").label == "//library:library"
    assert workspace.target("//library").label == "//library:library"
    closure = [target.label for target in workspace.closure("//program:program")]
    assert set(closure) == {
        "//program:program",
        "//library:library",
        "//library:made",
        "//library:kinds",
        "//library:kinds_a",
        "//library:kinds_b",
        "@far//:far",
    }
    assert len(closure) == len(set(closure))
    with pytest.raises(KeyError, match="there is no target //library:none"):
        workspace.target("//library:none")


def test_a_condition_that_does_not_hold_gives_the_default(workspace, tmp_path):
    slow = Workspace(tmp_path / "source", Settings({}, {"env": {"SUFFIX": ".so"}}))
    assert slow.target("//library:kinds_b").get("copts") == ["-O1"]


def test_a_program_is_built_and_only_what_changed_is_built_again(workspace, tmp_path):
    builder = Builder(workspace, tmp_path / "out", None, 2)
    program = tmp_path / "out/program"
    builder.build({program: "//program:program"})
    assert subprocess.run([program], check=False).returncode == 37
    objects = {file: file.stat().st_mtime_ns for file in (tmp_path / "out/objects").rglob("*.o")}
    assert len(objects) == 4
    header = tmp_path / "source/far/include/far.h"
    header.write_text("#define FAR 40\n", encoding="utf-8")
    builder.build({program: "//program:program"})
    assert subprocess.run([program], check=False).returncode == 47
    again = {file.name for file, time in objects.items() if file.stat().st_mtime_ns != time}
    assert again == {"kinds.cc.o"}
    with_flags = (
        (tmp_path / "source/program/BUILD.bazel")
        .read_text(encoding="utf-8")
        .replace('linkopts = ["-lm"]', 'copts = ["-O2"]')
    )
    (tmp_path / "source/program/BUILD.bazel").write_text(with_flags, encoding="utf-8")
    objects = {file: file.stat().st_mtime_ns for file in objects}
    Builder(workspace.again(), tmp_path / "out", None, 2).build({program: "//program:program"})
    assert {file.name for file, time in objects.items() if file.stat().st_mtime_ns != time} == {"main.cc.o"}


def test_a_command_that_fails_is_shown_with_what_it_said(workspace, tmp_path):
    with pytest.raises(BuildError, match=r"(?s)-c .*broken\.cc.*nothing"):
        Builder(workspace, tmp_path / "out", None, 1).build({tmp_path / "out/broken": "//program:broken"})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_command_says_so_in_one_line(tmp_path):
    command = [sys.executable, ROOT / "tools/gpu", "--report", tmp_path / "report"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("memtorch: ./tools/dev gpu needs a GPU")
    assert not (tmp_path / "report").exists()
