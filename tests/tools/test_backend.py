"""tools/wheel/backend.py builds wheels of one platform that hold the extension, and none without it."""

import pathlib
import subprocess
import sys
import sysconfig
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[2]
EXTENSION = "memtorch/_engine" + sysconfig.get_config_var("EXT_SUFFIX")


@pytest.fixture
def project(tmp_path):
    """A project of two Python files with the real pyproject.toml and backend."""
    for name, text in {
        "pyproject.toml": (ROOT / "pyproject.toml").read_text(encoding="utf-8"),
        "README.md": "",
        "LICENSE": "",
        "py/memtorch/__init__.py": "",
        "py/memtorch/version.py": '__version__ = "1.2.3"\n',
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def build(project: pathlib.Path, hook: str) -> subprocess.CompletedProcess:
    program = f"import sys; sys.path.insert(0, {str(ROOT / 'tools/wheel')!r}); import backend; backend.{hook}('dist')"
    return subprocess.run([sys.executable, "-c", program], cwd=project, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("hook", ["build_wheel", "build_editable"])
def test_what_is_built_is_tagged_with_this_python_and_platform(project, hook):
    (project / "py" / EXTENSION).write_bytes(b"native")
    done = build(project, hook)
    assert done.returncode == 0, done.stderr
    (wheel,) = (project / "dist").glob("*.whl")
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    editable = "-0.editable" if hook == "build_editable" else ""
    assert wheel.name == f"memtorch-1.2.3{editable}-{python}-{python}-{platform}.whl"
    held = set(zipfile.ZipFile(wheel).namelist())
    assert (EXTENSION in held) == (hook == "build_wheel")  # an editable wheel points to the sources
    assert "Root-Is-Purelib: false" in zipfile.ZipFile(wheel).read("memtorch-1.2.3.dist-info/WHEEL").decode()


@pytest.mark.parametrize(
    ("extension", "version"), [(b"memtorch was built without CUDA; ", "1.2.3+cpu"), (b"", "1.2.3")]
)
def test_the_version_tells_whether_the_extension_has_kernels(project, extension, version):
    (project / "py/memtorch/version.py").write_text('"""Doc."""\n\n__version__ = "1.2.3+cpu"\n', encoding="utf-8")
    (project / "py" / EXTENSION).write_bytes(b"native " + extension)
    done = build(project, "build_wheel")
    assert done.returncode == 0, done.stderr
    (wheel,) = (project / "dist").glob("*.whl")
    assert wheel.name.startswith(f"memtorch-{version}-cp")


@pytest.mark.parametrize("hook", ["build_wheel", "build_editable"])
def test_nothing_is_built_without_the_extension(project, hook):
    done = build(project, hook)
    assert done.returncode == 1
    assert done.stderr == f"py/{EXTENSION} is missing: ./tools/dev build makes it\n"
    assert not (project / "dist").exists()


def test_a_source_distribution_is_refused_in_one_line(project):
    done = build(project, "build_sdist")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "build from a clone" in done.stderr
