"""C++ rules with the project's flags. Flags stand here and in no BUILD file."""

load("//tools:python.bzl", "mt_py_script_test")

# Neither -ffast-math nor -march=native: thresholds and NaN checks must hold, and one binary serves every machine.
# -ffp-contract=off: every instruction set and the GPU give the same bits.
COPTS = [
    "-O3",
    "-std=c++17",
    "-Wall",
    "-Wextra",
    "-Wshadow",
    "-Werror",
    "-fvisibility=hidden",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=off",
    "-fopenmp",
    "-fopenmp-simd",
]

LINKOPTS = ["-fopenmp"]

# The instruction sets of engine/simd.h and the flags that select them on x86-64; elsewhere there are none.
_ISA_COPTS = {
    "baseline": [],
    "avx2": ["-march=x86-64-v3"],
    "avx512": [
        "-march=x86-64-v4",
        "-mprefer-vector-width=512",
    ],
}

def mt_cc_library(name, copts = [], linkopts = [], **kwargs):
    """cc_library with the project's flags, linked statically."""
    native.cc_library(
        name = name,
        copts = COPTS + copts,
        linkopts = LINKOPTS + linkopts,
        # With hidden visibility, Bazel's default of dynamic libraries for tests leaves references undefined.
        linkstatic = True,
        **kwargs
    )

def mt_cc_binary(name, copts = [], linkopts = [], **kwargs):
    """cc_binary with the project's flags."""
    native.cc_binary(
        name = name,
        copts = COPTS + copts,
        linkopts = LINKOPTS + linkopts,
        linkstatic = True,
        **kwargs
    )

def mt_cc_test(name, srcs = None, deps = [], copts = [], linkopts = [], size = "small", **kwargs):
    """GoogleTest program `name` from `name`.cc."""
    native.cc_test(
        name = name,
        size = size,
        srcs = srcs or [name + ".cc"],
        copts = COPTS + copts,
        linkopts = LINKOPTS + linkopts,
        linkstatic = True,
        deps = deps + [
            "@googletest//:gtest",
            "@googletest//:gtest_main",
        ],
        **kwargs
    )

def mt_simd_library(name, srcs, hdrs = [], deps = [], fused = False, **kwargs):
    """Library whose sources are compiled once per instruction set (engine/simd.h says how to write them).

    With `fused`, products and sums are contracted where the instruction set can: faster, and rounded differently by
    each instruction set.

    Makes `name`_baseline, `name`_avx2 and `name`_avx512 with MT_ISA defined to the name of the set, `name`, which
    holds the three, and the test `name`_isa_test, which looks for code that the linker could share between the sets.
    """
    for isa, flags in _ISA_COPTS.items():
        mt_cc_library(
            name = name + "_" + isa,
            srcs = srcs,
            hdrs = hdrs,
            copts = (["-ffp-contract=fast"] if fused else []) + select({
                "@platforms//cpu:x86_64": flags,
                "//conditions:default": [],
            }),
            local_defines = ["MT_ISA=" + isa],
            deps = deps,
            **kwargs
        )
    mt_cc_library(
        name = name,
        hdrs = hdrs,
        deps = deps + [":" + name + "_" + isa for isa in _ISA_COPTS],
        **kwargs
    )
    # A filegroup, because a library as data brings its runfiles along and not its archive.
    native.filegroup(
        name = name + "_archives",
        testonly = True,
        srcs = [":" + name + "_" + isa for isa in _ISA_COPTS if isa != "baseline"],
    )
    mt_py_script_test(
        name = name + "_isa_test",
        script = "//tools/lint:isa_symbols.py",
        args = ["$(locations :%s_archives)" % name],
        data = [":%s_archives" % name],
    )
