"""Lint as tests: every package ends with mt_lint()."""

load("//tools:python.bzl", "mt_py_script_test")

def mt_lint(name = "lint_test", files = None):
    """Test that `files`, or all of this package, pass tools/lint/lint.py (`./tools/dev lint --fix` mends)."""
    if files == None:
        files = native.glob(["**/*." + kind for kind in ["bzl", "cc", "cu", "cuh", "h", "py", "sh"]])
    if not files:
        return
    mt_py_script_test(
        name = name,
        script = "//tools/lint:lint",
        args = ["$(location %s)" % file for file in files],
        data = files + [
            "//:.clang-format",
            "//:pyproject.toml",
        ],
    )

def mt_mypy_test(name, srcs, package):
    """Test that mypy finds nothing in `package`, a folder that `srcs` fill."""
    mt_py_script_test(
        name = name,
        size = "medium",
        script = "//tools/lint:check_types.py",
        args = [package],
        data = srcs + ["//:pyproject.toml"],
    )
