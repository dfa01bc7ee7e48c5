"""What the package does to the process it lives in: imports, threads, forks."""

import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import nnjpeg
from nnjpeg import NN_TABLE, _core, _threads


def run(code, **environment):
    """Run Python code in another process, away from the source tree: it is the installed package that is tested."""
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
        cwd=tempfile.gettempdir(),
    )


def test_the_array_api_never_imports_torch():
    result = run(
        "import sys, numpy as np, nnjpeg, nnjpeg.reference, nnjpeg.cli\n"
        "x = np.zeros((9, 9, 3), np.uint8)\n"
        "t = nnjpeg.QTable.nn(4)\n"
        "nnjpeg.decode(nnjpeg.encode(x, t)); nnjpeg.roundtrip(x, t)\n"
        "nnjpeg.inverse(nnjpeg.forward(x, t), t); nnjpeg.idct(nnjpeg.dct(x))\n"
        "print(sorted(m for m in sys.modules if m.partition('.')[0] in ('torch', 'torchvision')))\n"
    )
    assert result.stderr == ""
    assert result.stdout == "[]\n"


def test_importing_prints_nothing():
    result = run("import nnjpeg.transforms")
    assert (result.returncode, result.stdout) == (0, "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_fork_after_threads_does_not_hang():
    result = run(
        "import os, sys, numpy as np, nnjpeg\n"
        "x = np.random.default_rng(0).integers(0, 256, (8, 512, 512, 3), dtype=np.uint8)\n"
        "a = nnjpeg.roundtrip(x, nnjpeg.NN_TABLE, num_threads=4)\n"
        "pid = os.fork()\n"
        "b = nnjpeg.roundtrip(x, nnjpeg.NN_TABLE, num_threads=4)\n"
        "assert (a == b).all()\n"
        "if pid:\n"
        "    assert os.waitpid(pid, 0)[1] == 0\n"
        "    print('both')\n"
    )
    assert (result.returncode, result.stdout) == (0, "both\n"), result.stderr


def test_show_config(capsys):
    nnjpeg.show_config()
    text = capsys.readouterr().out
    assert f"instruction set  {_core.isa()}" in text
    assert all(isa in text for isa in _core.compiled_isas())
    assert re.search(r"^threads +\d+ by default", text, re.M)
    assert "CUDA" in text


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "100000 100000\n"}, 1),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "50000 100000\n"}, 1),
        (
            {
                "proc/self/cgroup": "5:cpuset:/x\n4:cpu,cpuacct:/job\n0::/\n",
                "sys/fs/cgroup/cpu/job/cpu.cfs_quota_us": "100000\n",
                "sys/fs/cgroup/cpu/job/cpu.cfs_period_us": "100000\n",
            },
            1,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
    ],
)
def test_control_group_quotas(files, quota, tmp_path, monkeypatch):
    monkeypatch.setattr(_threads.os, "sched_getaffinity", lambda _: range(16), raising=False)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert _threads.available_cpus(tmp_path) == (quota or 16)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_affinity_is_respected():
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); import nnjpeg; nnjpeg.show_config()"
    assert "threads          1 by default" in run(code).stdout


def test_one_thread_inside_a_dataloader_worker(monkeypatch):
    from torch.utils import data

    monkeypatch.setattr(data, "get_worker_info", lambda: object())
    assert _threads.thread_limit(None) == 1
    assert _threads.thread_limit(2) == 2


def test_concurrent_calls():
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (rng.integers(1, 600), rng.integers(1, 600), 3), dtype=np.uint8) for _ in range(40)]
    expected = [nnjpeg.roundtrip(image, NN_TABLE, num_threads=1) for image in images]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            results = pool.map(lambda image: nnjpeg.roundtrip(image, NN_TABLE, num_threads=2), images)
            for result, image in zip(results, expected, strict=True):
                np.testing.assert_array_equal(result, image)


def test_an_instruction_set_can_be_forced():
    code = "import numpy as np, nnjpeg; nnjpeg.roundtrip(np.zeros((8, 8), np.uint8), nnjpeg.NN_TABLE); "
    for isa, supported in _core.compiled_isas().items():
        if supported:
            result = run(code + "print(nnjpeg._core.isa())", NNJPEG_FORCE_ISA=isa)
            assert result.stdout == f"{isa}\n", result.stderr
    result = run(code, NNJPEG_FORCE_ISA="mmx")
    assert result.returncode == 1
    assert "NNJPEG_FORCE_ISA" in result.stderr.splitlines()[-1]
    with pytest.raises(ValueError, match="instruction set"):
        _core.use_isa("mmx")


def test_the_best_instruction_set_is_the_default():
    best = next(isa for isa, supported in _core.compiled_isas().items() if supported)
    assert run("import nnjpeg; print(nnjpeg._core.isa())", NNJPEG_FORCE_ISA="").stdout == f"{best}\n"


def test_selftest():
    result = run_module()
    assert result.returncode == 0, result.stderr
    for isa, supported in _core.compiled_isas().items():
        assert supported == (f"ok       {isa}: libjpeg-turbo" in result.stdout)
    assert re.search(r"^ok       torch .* on the CPU: 100 images$", result.stdout, re.M)
    assert re.search(r"^all equal, \d", result.stdout, re.M)
    assert result.stderr == ""


def test_selftest_says_what_is_wrong(monkeypatch, capsys):
    from nnjpeg import selftest
    from nnjpeg.cli import main

    def off_by_one(image, *arguments, **options):
        result = nnjpeg.roundtrip(image, *arguments, **options)
        result[-1, -1] ^= 1
        return result

    monkeypatch.setattr(selftest, "roundtrip", off_by_one)
    assert main(["selftest"]) == 1
    captured = capsys.readouterr()
    message = r"FAILED   generic: libjpeg-turbo .*: AssertionError: 3 of \d+ samples differ in case 0"
    assert re.search(message, captured.err)
    assert "please report this" in captured.err
    assert "all equal" not in captured.out


def test_selftest_of_an_instruction_set_that_is_not_to_be_had():
    result = run_module(NNJPEG_FORCE_ISA="mmx")
    assert result.returncode == 1
    assert "FAILED   the instruction set in use (none): ValueError: the instruction set" in result.stderr


def run_module(**environment):
    return subprocess.run(
        [sys.executable, "-m", "nnjpeg"],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
        cwd=tempfile.gettempdir(),
    )
