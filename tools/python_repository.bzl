"""Repository rule that asks the active Python where its headers and its nanobind are."""

_BUILD = """# Written by python_repository in tools/python_repository.bzl.
package(default_visibility = ["//visibility:public"])

cc_library(
    name = "headers",
    hdrs = glob(["include/**/*.h"]),
    includes = ["include"],
)

cc_library(
    name = "nanobind",
    srcs = ["nanobind/src/nb_combined.cpp"],
    hdrs = glob(["nanobind/include/**/*.h", "nanobind/ext/robin_map/include/**/*.h"]),
    copts = ["-O2", "-std=c++17", "-fno-strict-aliasing", "-fvisibility=hidden", "-w"],
    includes = ["nanobind/ext/robin_map/include", "nanobind/include"],
    linkstatic = True,
    textual_hdrs = glob(
        ["nanobind/src/*.cpp", "nanobind/src/*.h"],
        exclude = ["nanobind/src/nb_combined.cpp"],
    ),
    deps = [":headers"],
)
"""

_QUESTION = """
import pathlib, sysconfig
import nanobind
print(sysconfig.get_paths()["include"])
print(pathlib.Path(nanobind.__file__).parent)
print(sysconfig.get_config_var("EXT_SUFFIX"))
"""

def _python_repository_impl(ctx):
    python = ctx.os.environ.get("MEMTORCH_PYTHON") or ctx.which("python3")
    answer = ctx.execute([python, "-c", _QUESTION])
    if answer.return_code != 0:
        fail("%s cannot describe itself (./tools/dev build sets it up): %s" % (python, answer.stderr))
    include, nanobind, ext_suffix = answer.stdout.strip().split("\n")
    if not ctx.path(include + "/Python.h").exists:
        fail("%s/Python.h is missing (./tools/dev build installs it)" % include)
    ctx.symlink(include, "include")
    ctx.symlink(nanobind, "nanobind")
    ctx.file("BUILD.bazel", _BUILD)
    ctx.file("defs.bzl", "EXT_SUFFIX = \"%s\"\nPYTHON = \"%s\"\n" % (ext_suffix, python))

# The headers of the interpreter MEMTORCH_PYTHON, its nanobind, and defs.bzl with its path and EXT_SUFFIX.
python_repository = repository_rule(
    implementation = _python_repository_impl,
    environ = [
        "MEMTORCH_PYTHON",
        "MEMTORCH_LOCK",
        "PATH",
    ],
    local = True,
)
