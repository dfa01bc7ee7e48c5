"""Processes for tests of the method, forked from one that has imported it: each starts at once, not in five seconds."""

import gc
import multiprocessing
import os
import sys
import time

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    ["nnjpeg.paper.design", "nnjpeg.paper.train", "datasets", "pandas", "pytest", "skimage.io", "timm"]
)

TIMEOUT = 300  # seconds


def start(function, *arguments, folder, **environment):
    """A process that works in `folder` and prints into a file there; its exit status is what the function returns."""
    process = _context.Process(target=_run, args=(function, arguments, folder, environment))
    process.start()
    return process


def alone(function, *arguments, folder):
    """What one process prints until it has ended well."""
    return _printed([start(function, *arguments, folder=folder)], folder)


def together(function, *arguments, folder, count=2):
    """What `count` processes print that find one another as those of torchrun do, by what their environment says."""
    from torch.distributed import TCPStore

    store = TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
    common = {
        "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_ADDR": "localhost", "MASTER_PORT": store.port,
        "TORCHELASTIC_USE_AGENT_STORE": True, "TORCHELASTIC_RESTART_COUNT": 0,
    }  # fmt: skip
    ranks = [start(function, *arguments, folder=folder, RANK=k, LOCAL_RANK=k, **common) for k in range(count)]
    return _printed(ranks, folder)


def kill_when(process, ready):
    """SIGKILL as soon as `ready`; an error if the process ends before."""
    deadline = time.monotonic() + TIMEOUT
    while process.is_alive() and not ready():
        assert time.monotonic() < deadline
        time.sleep(0.001)
    assert process.is_alive(), "it ended before it could be killed"
    process.kill()
    process.join()


def _run(function, arguments, folder, environment):
    gc.freeze()  # all that was imported: no collection need look at it
    os.chdir(folder)
    os.environ.update({name: str(value) for name, value in environment.items()})
    with open(_log(folder, os.getpid()), "w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    sys.exit(function(*arguments))


def _printed(processes, folder):
    """What they print, one after the other. As soon as one fails, all are ended."""
    deadline = time.monotonic() + TIMEOUT
    while any(process.is_alive() for process in processes):
        if any(process.exitcode for process in processes) or time.monotonic() > deadline:
            for process in processes:
                process.kill()
        time.sleep(0.01)
    text = "".join(_log(folder, process.pid).read_text() for process in processes)
    assert [process.exitcode for process in processes] == [0] * len(processes), text
    return text


def _log(folder, pid):
    return folder / f"{pid}.log"
