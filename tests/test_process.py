"""What the package does to the process it lives in: imports, threads, forks."""

import os
import re
import shutil
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


@pytest.mark.slow(6)
def test_importing_prints_nothing():
    result = run("import nnjpeg.transforms")
    assert (result.returncode, result.stdout) == (0, "")


# What another library of the process may do with the OpenMP that it shares with nnjpeg.
OTHER_LIBRARY = """
int use_threads(int threads)
{
    int used = 0;
#pragma omp parallel num_threads(threads) reduction(+ : used)
    used++;
    return used;
}

void call_in_parallel_region(void (*function)(void))
{
#pragma omp parallel num_threads(2)
#pragma omp master
    function();
}
"""

# Begins the code of processes that fork, use threads or lack them.
SETTING = """
import ctypes, os, resource, signal, sys, threading, time, traceback
import numpy as np

image = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
result = np.empty_like(image)

def check(threads):
    import nnjpeg
    expected = nnjpeg.roundtrip(image, nnjpeg.NN_TABLE, num_threads=1)
    nnjpeg.roundtrip(image, nnjpeg.NN_TABLE, num_threads=threads, out=result)
    assert np.array_equal(result, expected)

def in_child(function, *arguments):
    child = os.fork()
    if child == 0:
        signal.alarm(30)  # ends it if it hangs
        try:
            function(*arguments)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, "the child failed or did not end"

def running():
    return len(os.listdir("/proc/self/task"))

def check_that_threads_are_used():
    # For threads that live for one call: those of OpenMP stay.
    import nnjpeg
    large, seen, end = np.zeros((8, 1024, 1024, 3), np.uint8), [], time.monotonic() + 30
    def watch():
        while time.monotonic() < end and max(seen, default=0) <= before:
            seen.append(running())
    before = running() + 1
    watcher = threading.Thread(target=watch)
    watcher.start()
    while watcher.is_alive():
        nnjpeg.roundtrip(large, nnjpeg.NN_TABLE, num_threads=2)
    assert max(seen) > before, "one thread did all"

def forbid_threads(user=65534):
    # Root may always have more: as another user, who may have one.
    if os.geteuid() == 0:
        os.setuid(user)
    resource.setrlimit(resource.RLIMIT_NPROC, (1, resource.getrlimit(resource.RLIMIT_NPROC)[1]))

def limit_memory(room):
    size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + room, resource.RLIM_INFINITY))

def allow_all():
    for what in (resource.RLIMIT_NPROC, resource.RLIMIT_AS):
        resource.setrlimit(what, 2 * resource.getrlimit(what)[1:])

"""

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux, /proc")
needs_openmp = pytest.mark.skipif(_core.openmp_threads() == 0, reason="built without OpenMP")


@pytest.fixture(scope="module")
def other_library(tmp_path_factory):
    """Code that loads it as `other`."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    folder = tmp_path_factory.mktemp("other")
    (folder / "other.c").write_text(OTHER_LIBRARY)
    command = ["gcc", "-std=c99", "-fopenmp", "-shared", "-fPIC", "other.c", "-o", "other.so"]
    subprocess.run(command, check=True, cwd=folder)
    return f"other = ctypes.CDLL({str(folder / 'other.so')!r})\n"


def check_run(code, **environment):
    result = run(SETTING + code + "\nprint('all right')", **environment)
    assert (result.returncode, result.stdout) == (0, "all right\n"), result.stderr


@needs_fork
def test_fork_after_threads_does_not_hang():
    check_run("check(4)\nin_child(check, 4)\ncheck(4)")


@needs_fork
@pytest.mark.parametrize("imports", ["import nnjpeg", ""], ids=["imported before the fork", "imported in the child"])
def test_fork_after_another_library_used_the_same_openmp_does_not_hang(imports, other_library):
    check_run(
        f"{imports}\n{other_library}assert other.use_threads(3) == 3\n"
        "in_child(check, 2)\n"
        "in_child(in_child, check, 2)\n"
        "assert ('nnjpeg' in sys.modules) == " + str(bool(imports))
    )


@needs_fork
@needs_linux
@needs_openmp
@pytest.mark.parametrize("before", ["", "import nnjpeg", "check(2)", "assert other.use_threads(3) == 3"])
def test_a_forked_child_keeps_its_threads(before, other_library):
    check_run(f"{other_library}{before}\nin_child(check_that_threads_are_used)")


@needs_fork
@needs_linux
@needs_openmp
def test_a_child_of_a_fork_server_keeps_its_threads():
    check_run(
        "import multiprocessing\n"
        f"code = {SETTING + 'check(2); check_that_threads_are_used()'!r}\n"
        "child = multiprocessing.get_context('forkserver').Process(target=exec, args=(code, {}))\n"
        "child.start(); child.join(60); assert child.exitcode == 0"
    )


@needs_linux
@needs_openmp
@pytest.mark.parametrize("before", ["", "check(2)"], ids=["first team", "larger team"])
@pytest.mark.parametrize("limit", ["forbid_threads()", "limit_memory(3 * 2**20)"], ids=["threads", "memory"])
def test_where_threads_cannot_be_started_the_call_uses_one_and_the_process_lives(limit, before):
    code = f"import nnjpeg\n{before}\n{limit}\ncheck(4)\ncheck(2)\nallow_all()\ncheck(4)\nassert running() >= 4"
    check_run(code, OMP_STACKSIZE="8M")  # does not fit into that memory


@needs_linux
@needs_openmp
def test_the_size_of_stacks_counts_when_threads_are_tried():
    code = "import nnjpeg\nlimit_memory({})\nbefore = running()\ncheck(2)\nassert running() - before == {}"
    check_run(code.format(2**28, 0), OMP_STACKSIZE="1G")
    check_run(code.format(3 * 2**20, 1), OMP_STACKSIZE=" 256 k ")
    check_run(code.format(2**28, 0), GOMP_STACKSIZE=str(2**20))


@needs_linux
@needs_openmp
def test_where_threads_cannot_be_started_inside_a_parallel_region(other_library):
    check_run(
        f"import nnjpeg\n{other_library}"
        "done = []\n"
        "def function():\n"
        "    forbid_threads(); check(2); done.append(True)\n"
        "other.call_in_parallel_region(ctypes.CFUNCTYPE(None)(function))\n"
        "assert done",
        OMP_MAX_ACTIVE_LEVELS="2",
    )


@needs_linux
@needs_openmp
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="counts the threads of a user of its own")
def test_calling_threads_do_not_count_on_the_same_new_threads():
    check_run(
        "import nnjpeg\n"
        "begin, wrong = threading.Barrier(8), []\n"
        "expected = nnjpeg.roundtrip(image, nnjpeg.NN_TABLE, num_threads=1)\n"
        "def call():\n"
        "    begin.wait()\n"
        "    wrong.append((nnjpeg.roundtrip(image, nnjpeg.NN_TABLE, num_threads=2) != expected).any())\n"
        "forbid_threads(user=65000)\n"
        "allow_all()\n"
        "threads = [threading.Thread(target=call) for _ in range(8)]\n"
        "for thread in threads[:7]: thread.start()\n"
        "resource.setrlimit(resource.RLIMIT_NPROC, (running() + 4,) * 2)\n"
        "for thread in threads[7:]: thread.start()\n"
        "for thread in threads: thread.join()\n"
        "assert wrong == [False] * 8"
    )


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


@pytest.mark.slow(3)
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


@pytest.mark.slow(3)
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
