"""How many threads a call may use by default."""

from __future__ import annotations

import math
import os
import sys
from functools import cache
from pathlib import Path

from nnjpeg import _core
from nnjpeg._arguments import integer

__all__ = ["available_cpus", "tensor_threads", "thread_limit"]

_MOST = 1024

_SMALL_TENSOR = 1 << 21
"""Samples that one thread transforms within a millisecond."""


def thread_limit(num_threads: int | None) -> int:
    """The limit for one call: `num_threads`, or by default all that this process may use.

    One inside a worker of a torch DataLoader: there the workers are the threads.
    """
    if num_threads is not None:
        if type(num_threads) is int and 1 <= num_threads <= _MOST:  # without a call, in every call
            return num_threads
        return integer("num_threads", num_threads, 1, _MOST)
    data = sys.modules.get("torch.utils.data")
    if data is not None and data.get_worker_info() is not None:
        return 1
    return _default()


def tensor_threads(samples: int) -> int:
    """The limit for a call on a tensor: one for small ones.

    Between operations, torch's threads keep their CPUs busy while they wait. This package's threads belong to another
    OpenMP and would wait for these CPUs longer than a small tensor takes, as measured in training steps.
    """
    return 1 if samples < _SMALL_TENSOR else thread_limit(None)


@cache
def _default() -> int:
    return max(1, min(_core.openmp_threads(), available_cpus(), _MOST))


def available_cpus(root: Path = Path("/")) -> int:
    """CPUs that this process may use, by its affinity and, on Linux, the quotas of its control groups below `root`."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([affinity, *(math.ceil(quota) for quota in _quotas(root))]))


def _quotas(root: Path) -> list[float]:
    """The CPU quotas of this process's control group and those above it, versions 1 and 2, in CPUs."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    quotas = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
        group = Path(path.lstrip("/"))
        for folder in (group, *group.parents):
            try:
                if controllers:
                    names = "cpu.cfs_quota_us", "cpu.cfs_period_us"
                    quota, period = ((mount / folder / name).read_text() for name in names)
                else:
                    quota, period = (mount / folder / "cpu.max").read_text().split()
                if quota.strip() not in ("max", "-1"):
                    quotas.append(int(quota) / int(period))
            except (OSError, ValueError):
                continue
    return quotas
