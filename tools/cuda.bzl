"""CUDA in the build: library rules for .cu files, for the GPU and for a host that emulates one."""

load("@cuda_toolkit//:defs.bzl", "NVCC")
load("//tools:cc.bzl", "mt_cc_binary", "mt_cc_library")

# Code for Ampere and Hopper, and PTX that the driver translates for what comes after. Without --use_fast_math, and but
# for `fused_srcs` without fused multiply-add, as on the CPU, so that both give the same bits.
_NVCC_FLAGS = [
    "-O3",
    "-std=c++17",
    "-gencode=arch=compute_80,code=sm_80",
    "-gencode=arch=compute_90,code=[sm_90,compute_90]",
    "--Werror=all-warnings",
    "-Xcompiler=-fPIC,-fvisibility=hidden,-ffp-contract=off,-Wall,-Wextra",
]

# For targets that need nvcc: where it is missing they are left out of //..., so that everything else builds.
CUDA_TAGS = [] if NVCC else ["manual"]

def _cuda_object_impl(ctx):
    if not NVCC:
        fail("%s needs nvcc: install the CUDA toolkit, or name its folder in CUDA_HOME" % ctx.label)
    context = cc_common.merge_cc_infos(cc_infos = [dep[CcInfo] for dep in ctx.attr.deps]).compilation_context
    output = ctx.actions.declare_file(ctx.label.name + ".o")
    args = ctx.actions.args()
    args.add_all(_NVCC_FLAGS + ctx.attr.copts)
    args.add("--fmad=true" if ctx.attr.fused else "--fmad=false")
    args.add_all(["-I", "."])
    args.add_all(context.system_includes, before_each = "-isystem")
    args.add("-c", ctx.file.src)
    args.add("-o", output)
    ctx.actions.run(
        executable = NVCC,
        arguments = [args],
        inputs = depset([ctx.file.src] + ctx.files.hdrs, transitive = [context.headers]),
        outputs = [output],
        mnemonic = "CudaCompile",
        progress_message = "Compiling %s for CUDA" % ctx.file.src.short_path,
        use_default_shell_env = True,
    )
    return [DefaultInfo(files = depset([output]))]

_cuda_object = rule(
    implementation = _cuda_object_impl,
    attrs = {
        "copts": attr.string_list(),
        "deps": attr.label_list(providers = [CcInfo]),
        "fused": attr.bool(),
        "hdrs": attr.label_list(allow_files = True),
        "src": attr.label(
            allow_single_file = [".cu"],
            mandatory = True,
        ),
    },
)

def mt_cuda_library(name, srcs, fused_srcs = [], hdrs = [], copts = [], deps = [], **kwargs):
    """cc_library of .cu files, with the CUDA runtime linked statically; `fused_srcs`: with fused multiply-add."""
    for src in srcs + fused_srcs:
        _cuda_object(
            name = src[:-len(".cu")] + "_cu",
            src = src,
            hdrs = hdrs,
            copts = copts,
            fused = src in fused_srcs,
            tags = CUDA_TAGS,
            deps = deps,
        )
    mt_cc_library(
        name = name,
        srcs = [":" + src[:-len(".cu")] + "_cu" for src in srcs + fused_srcs],
        hdrs = hdrs,
        tags = CUDA_TAGS,
        deps = deps + ["@cuda_toolkit//:cudart"],
        **kwargs
    )

# ThreadSanitizer, for the emulation whose threads it watches.
WATCHED_COPTS = [
    "-fsanitize=thread",
    "-g",
]

def mt_emulated_cuda_library(name, srcs, hdrs = [], host_srcs = [], watched_host_deps = [], **kwargs):
    """.cu files compiled by the host's compiler (engine/cuda/emulation.h), and `host_srcs` beside them.

    Makes the library `name`, whose threads are loops, and `name`_threads, whose threads are watched by ThreadSanitizer;
    `watched_host_deps` are of the latter, and not watched.
    """
    for src in srcs:
        native.genrule(
            name = src[:-len(".cu")] + "_emulated",
            outs = [src[:-len(".cu")] + "_emulated.cc"],
            cmd = "echo '#include \"%s/%s\"' > $@" % (native.package_name(), src),
        )
    deps = kwargs.pop("deps", [])
    for suffix, options in {
        "": dict(deps = deps),
        "_threads": dict(
            deps = deps + watched_host_deps,
            defines = ["MT_EMULATED_THREADS"],
            linkopts = ["-fsanitize=thread"],
            testonly = True,
        ),
    }.items():
        mt_cc_library(
            name = name + suffix,
            srcs = host_srcs + [":" + src[:-len(".cu")] + "_emulated" for src in srcs],
            hdrs = hdrs,
            textual_hdrs = srcs,
            # As files that are included they have no anonymous namespaces of their own, for all that this warning knows.
            copts = ["-Wno-subobject-linkage"] + (WATCHED_COPTS if suffix else []),
            **dict(kwargs, **options)
        )

def mt_watched_test(name, srcs, deps = [], copts = [], size = "large"):
    """GoogleTest program on a library of watched threads; they take a hundred times as long as loops."""
    program = name + "_program"
    mt_cc_binary(
        name = program,
        testonly = True,
        srcs = srcs,
        copts = copts,
        deps = deps + [
            "@googletest//:gtest",
            "@googletest//:gtest_main",
        ],
    )
    native.sh_test(
        name = name,
        size = size,
        srcs = ["//tools:watched.sh"],
        args = ["$(location :%s)" % program],
        data = [":" + program],
    )
