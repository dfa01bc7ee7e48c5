"""The command line as a whole; its commands have tests of their own."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import nnjpeg
from nnjpeg.cli import main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "COMMAND"),
        (["compress", "x.png"], "-o"),
        (["compress", "x.png", "-o", "out", "-q", "0"], "number in 1..100, got '0'"),
        (["compress", "x.png", "-o", "out", "-q", "high"], "got 'high'"),
        (["compress", "x.png", "-o", "out", "-q", "nan"], "number in 1..100, got 'nan'"),
        (["compress", "x.png", "-o", "out", "-t", "none.json"], "none.json"),
        (["compress", "x.png", "-o", "out", "--subsampling", "420"], "subsampling must be one of '4:4:4', '4:2:2'"),
        (["compress", "x.png", "-o", "out", "--subsampling", "4:4:0"], "Pillow cannot write '4:4:0'"),
    ],
)
def test_wrong_arguments(arguments, message, capsys):
    with pytest.raises(SystemExit) as error:
        main(arguments)
    assert error.value.code == 2
    assert message in capsys.readouterr().err


def test_commands_run_as_installed(tmp_path):
    for command in ([sys.executable, "-m", "nnjpeg"], [os.path.join(os.path.dirname(sys.executable), "nnjpeg")]):
        result = subprocess.run([*command, "--version"], capture_output=True, text=True, cwd=tmp_path, timeout=60)
        assert result.stdout == f"nnjpeg {nnjpeg.__version__}\n"


# What a plain installation can do


def run(code, *arguments, folder=None):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=120)


PLAIN = """
import sys
for name in ("torch", "torchvision", "tqdm", "skimage", "matplotlib", "scipy", "jsonargparse", "pandas", "timm"):
    sys.modules[name] = None
from nnjpeg.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_compress_needs_no_extra(tmp_path):
    """Without tqdm, scikit-image and torch: sizes, PSNR and all."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    result = run(PLAIN, "compress", "a.png", "-o", "out", folder=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    found = nnjpeg.decode(tmp_path / "out" / "a.jpg")
    np.testing.assert_array_equal(found, nnjpeg.roundtrip(pixels, nnjpeg.NN_TABLE))
    psnr = 10 * np.log10(255**2 / ((found.astype(float) - pixels) ** 2).mean())
    assert float(result.stdout.split()[-2]) == pytest.approx(psnr, abs=5e-3)
    result = run(PLAIN, "compress", "a.png", "--tar", "set.tar", folder=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.slow(3)
def test_the_self_test_needs_no_extra(tmp_path):
    result = run(PLAIN.replace('"torch", "torchvision", ', ""), "selftest", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "all equal" in result.stdout


@pytest.mark.parametrize(("command", "extra"), [("demo", "cli"), ("analyze", "robust")])
def test_a_command_says_which_extra_it_needs(tmp_path, command, extra):
    result = run(PLAIN, command, folder=tmp_path)
    assert result.returncode == 1
    assert result.stderr.endswith(f"is not installed: pip install 'nnjpeg[{extra}]'\n")
    assert result.stderr.count("\n") == 1


# Ends of a process

BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes of this kind")
@pytest.mark.parametrize("command", [["--help"], ["compress", "--help"]])
def test_nobody_reads_what_is_printed(command, tmp_path):
    read, write = os.pipe()
    os.close(read)
    try:
        options = {"stderr": subprocess.PIPE, "text": True, "timeout": 60, "env": BUFFERED, "cwd": tmp_path}
        result = subprocess.run([sys.executable, "-m", "nnjpeg", *command], stdout=write, **options)
    finally:
        os.close(write)
    assert result.returncode == 1
    assert result.stderr == "nnjpeg: stopped: nobody reads the output any more\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no disk that is always full")
@pytest.mark.parametrize("command", [["--help"], ["selftest"]])
def test_output_to_a_full_disk(command, tmp_path):
    with open("/dev/full", "w") as full:
        options = {"stderr": subprocess.PIPE, "text": True, "timeout": 60, "env": BUFFERED, "cwd": tmp_path}
        result = subprocess.run([sys.executable, "-m", "nnjpeg", *command], stdout=full, **options)
    assert result.returncode == 1
    assert "No space left on device" in result.stderr
    assert result.stderr.count("\n") == 1


def test_the_handler_of_sigterm_is_that_of_before(capsys):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit):
        main(["--version"])
    assert signal.getsignal(signal.SIGTERM) is before
