"""Repository rule that finds the CUDA toolkit."""

_TOOLKIT = """# Written by cuda_repository in tools/cuda_repository.bzl.
package(default_visibility = ["//visibility:public"])

cc_library(
    name = "cudart",
    srcs = ["{lib}/libcudart_static.a"],
    hdrs = glob(["include/**"]),
    includes = ["include"],
    linkopts = ["-ldl", "-lpthread", "-lrt"],
    linkstatic = True,
)
"""

_NOTHING = """# Written by cuda_repository in tools/cuda_repository.bzl: there is no nvcc on this machine.
package(default_visibility = ["//visibility:public"])

cc_library(name = "cudart")
"""

def _library_folder(ctx, home):
    """The folder of `home` that holds the static runtime of a toolkit with nvcc, or None."""
    if ctx.path(home + "/bin/nvcc").exists:
        for folder in ["lib64", "lib"]:
            if ctx.path("%s/%s/libcudart_static.a" % (home, folder)).exists:
                return folder
    return None

def _cuda_repository_impl(ctx):
    in_path = ctx.which("nvcc")
    homes = [ctx.os.environ.get("CUDA_HOME"), "/usr/local/cuda", in_path and str(in_path.realpath.dirname.dirname)]
    for home in homes:
        folder = _library_folder(ctx, home) if home else None
        if folder:
            ctx.symlink(home + "/include", "include")
            ctx.symlink("%s/%s" % (home, folder), folder)
            ctx.file("BUILD.bazel", _TOOLKIT.format(lib = folder))
            ctx.file("defs.bzl", "NVCC = \"%s/bin/nvcc\"\n" % home)
            return
    ctx.file("BUILD.bazel", _NOTHING)
    ctx.file("defs.bzl", "NVCC = None\n")

# The toolkit of CUDA_HOME, /usr/local/cuda or PATH: `cudart` and, in defs.bzl, NVCC; `cudart` is empty and NVCC is None
# where there is none.
cuda_repository = repository_rule(
    implementation = _cuda_repository_impl,
    environ = [
        "CUDA_HOME",
        "PATH",
    ],
    local = True,
)
