"""How the package is built from source: here, that it says what is missing."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NO_COMPILER = {"CC": "/nowhere/cc"}

pytestmark = [
    pytest.mark.skipif(not (ROOT / "setup.py").is_file(), reason="the sources are not here"),
    pytest.mark.skipif(importlib.util.find_spec("setuptools") is None, reason="setuptools is not installed"),
]


def python(*arguments, folder=ROOT, **environment):
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300
    )


def requires(kind, **environment):
    """What the build backend prints that it requires for a build of this kind."""
    code = "import sys; sys.path.insert(0, 'build_backend'); import nnjpeg_build as build; "
    return python("-c", code + f"print(build.get_requires_for_build_{kind}())", **environment)


def check_advice(result):
    """One line, the last, says what to install."""
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    advice = result.stderr.splitlines()[-1]
    assert advice.startswith("nnjpeg needs a C compiler")
    for part in ("/nowhere/cc", "apt install", "Debian", "dnf install", "Fedora", "macOS", "Windows"):
        assert part in advice


@pytest.mark.skipif(os.name != "posix", reason="asks setup.py alone")
@pytest.mark.parametrize("kind", ["wheel", "editable"])
def test_without_a_compiler_a_build_ends_before_anything_is_downloaded(kind):
    result = requires(kind, **NO_COMPILER)
    check_advice(result)
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.skipif(shutil.which("cc") is None and shutil.which("gcc") is None, reason="no compiler is installed")
@pytest.mark.parametrize("kind", ["wheel", "editable"])
def test_with_a_compiler_a_build_asks_for_what_setup_py_imports(kind):
    result = requires(kind)
    assert result.returncode == 0, result.stderr
    assert "cython" in result.stdout
    assert "numpy" in result.stdout


def test_a_source_distribution_needs_no_compiler():
    result = requires("sdist", **NO_COMPILER)
    assert result.returncode == 0, result.stderr
    assert "cython" in result.stdout


@pytest.mark.skipif(importlib.util.find_spec("Cython") is None, reason="Cython is not installed")
def test_without_a_compiler_setup_py_ends_before_it_does_anything(tmp_path):
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("build_backend", "csrc"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    ignore = shutil.ignore_patterns("_core.c", "*.so", "*.pyd", "__pycache__")
    shutil.copytree(ROOT / "nnjpeg", tmp_path / "nnjpeg", ignore=ignore)
    check_advice(python("setup.py", "build_ext", "--inplace", folder=tmp_path, **NO_COMPILER))
    assert not (tmp_path / "nnjpeg/_core.c").exists()
