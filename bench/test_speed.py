"""pytest-benchmark suites, to compare two states of the code: pytest bench -n0 --benchmark-only --benchmark-autosave"""

import pytest
from peers import workloads
from photos import crops

CASES = [(load, job) for load in workloads(with_peers=False)[0] for job in (load.baseline, *load.jobs)]


@pytest.mark.parametrize(("load", "job"), CASES, ids=[f"{load.name}: {job.name}" for load, job in CASES])
def test_speed(load, job, benchmark):
    benchmark.group = load.name
    images = job.prepare(crops(load.size, load.images))
    benchmark(job.run, images)
