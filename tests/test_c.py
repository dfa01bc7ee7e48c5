"""The core as a C program: under sanitizers here, and as NEON code under an emulator."""

import json
import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from nnjpeg import _core

ROOT = Path(__file__).parent.parent
ISAS = json.loads((ROOT / "csrc/isas.json").read_text()) if (ROOT / "csrc").is_dir() else {}
FLAGS = {isa: flags["gcc"] for isas in ISAS.values() for isa, flags in isas.items()}
STRIPS = {f"strip_{isa}.c" for isa in FLAGS}

pytestmark = pytest.mark.skipif(not (ROOT / "csrc").is_dir(), reason="the sources are not here")


def build(folder, compiler, isas, flags):
    """Compile check.c with the core and the strips of `isas`."""
    common = [compiler, "-std=c99", "-Wall", "-Wextra", "-Werror", f"-I{ROOT / 'csrc'}", *flags]
    objects = []
    for isa in isas:
        objects.append(str(folder / f"{isa}.o"))
        source = ROOT / "csrc" / f"strip_{isa}.c"
        subprocess.run([*common, *FLAGS[isa], "-c", str(source), "-o", objects[-1]], check=True)
    sources = [str(path) for path in (ROOT / "csrc").glob("*.c") if path.name not in STRIPS]
    program = str(folder / "check")
    defines = [f"-DNJ_WITH_{isa.upper()}" for isa in isas]
    subprocess.run(
        [*common, *defines, str(ROOT / "tests/c/check.c"), *sources, *objects, "-o", program, "-pthread"], check=True
    )
    return program


def run(command, **environment):
    result = subprocess.run(command, capture_output=True, text=True, timeout=600, env={**os.environ, **environment})
    assert result.returncode == 0, result.stdout + result.stderr
    return dict(line.split(" ", 1) for line in result.stdout.splitlines())


def native_isas():
    return [isa for isa in _core.compiled_isas() if isa in FLAGS]


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
def test_sanitizers_and_guard_pages_at_every_size(tmp_path):
    sanitize = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-O1", "-g"]
    program = build(tmp_path, "gcc", native_isas(), sanitize)
    hashes = run([program], ASAN_OPTIONS="detect_leaks=0")
    assert set(hashes) == {*native_isas(), "generic"}


@pytest.mark.skipif(platform.machine() == "aarch64", reason="NEON is native here")
@pytest.mark.skipif(
    shutil.which("aarch64-linux-gnu-gcc") is None or shutil.which("qemu-aarch64") is None,
    reason="aarch64-linux-gnu-gcc and qemu-aarch64 are not installed",
)
def test_neon_gives_the_same_bits_under_an_emulator(tmp_path):
    (tmp_path / "native").mkdir()
    native = run([build(tmp_path / "native", "gcc", [], ["-O3"]), "3"])
    arm = run(["qemu-aarch64", build(tmp_path, "aarch64-linux-gnu-gcc", ["neon"], ["-O3", "-static"]), "3"])
    assert set(arm) == {"neon", "generic"}
    assert arm["neon"] == arm["generic"] == native["generic"]
