"""Tests that run the Python of the virtual environment."""

def mt_py_script_test(name, script, args = [], data = [], size = "small", **kwargs):
    """Test that passes when `script` (a label), run by the virtual environment's Python with `args`, exits with 0."""
    native.sh_test(
        name = name,
        size = size,
        srcs = ["//tools:python.sh"],
        args = ["$(location %s)" % script] + args,
        data = data + [script],
        **kwargs
    )

def mt_pytest(name, srcs, data = [], size = "medium", marks = None, **kwargs):
    """Test that runs pytest on `srcs` with the options of pyproject.toml; packages in `data` are found as in a clone.

    `marks` selects tests by their markers, as pytest's -m.
    """
    native.sh_test(
        name = name,
        size = size,
        srcs = ["//tools:pytest.sh"],
        args = (["-m", "'%s'" % marks] if marks else []) + ["$(locations %s)" % src for src in srcs],
        data = srcs + data + ["//:pyproject.toml"],
        **kwargs
    )
