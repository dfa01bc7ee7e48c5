"""What got slower between two results of speed.py: by ratios to the same other job, never by times."""

from typing import NamedTuple

# Between two runs on one machine ratios move by more than within one: memory lies elsewhere, neighbours come and go.
DRIFT = 0.05


class Change(NamedTuple):
    row: tuple[str, str, str]
    """Workload, what it is a ratio to, and the job."""
    before: float
    now: float
    verdict: str
    """slower, faster, or same: within the noise."""

    def __str__(self):
        workload, over, job = self.row
        return f"{self.verdict}: {workload} over {over}, {job}: {self.before:.4f} to {self.now:.4f} ({self.factor:.2f})"

    @property
    def factor(self):
        return self.now / self.before


def rows_of(result):
    """Every row of a result by its workload, what it is a ratio to, and its job; ours alone."""
    return {
        (load["workload"], load["over"], row["job"]): row
        for load in result["workloads"]
        for row in load["rows"]
        if row["job"].startswith("nnjpeg")
    }


def changes(before, now, drift=DRIFT):
    """The rows that both results have. One has changed where its quartiles lie beyond the earlier ones, and its median
    by more than `drift`.
    """
    earlier, found = rows_of(before), []
    for name, row in rows_of(now).items():
        if name not in earlier:
            continue
        (low, high), (low_before, high_before) = row["quartiles"], earlier[name]["quartiles"]
        factor, verdict = row["ratio"] / earlier[name]["ratio"], "same"
        if low > high_before and factor > 1 + drift:
            verdict = "slower"
        elif high < low_before and factor < 1 / (1 + drift):
            verdict = "faster"
        found.append(Change(name, earlier[name]["ratio"], row["ratio"], verdict))
    return found


def differences(before, now):
    """What makes the two results hard to compare, in words."""
    found = [
        f"{name} was {before[name]}, is {now[name]}" for name in ("cpu", "libjpeg_turbo") if before[name] != now[name]
    ]
    packages = ("numpy", "pillow", "torch", "torchvision", "opencv-python-headless")
    pairs = [(package, before["versions"].get(package), now["versions"].get(package)) for package in packages]
    return found + [f"{package} was {old}, is {new}" for package, old, new in pairs if old != new]
