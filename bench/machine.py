"""What a result must carry: the machine, the versions, the date, the command."""

import datetime
import importlib.metadata
import os
import platform
import sys
from pathlib import Path

from PIL import features

from nnjpeg._config import config

PACKAGES = (
    "numpy", "pillow", "torch", "torchvision", "scipy", "simplejpeg", "opencv-python-headless", "imagecodecs", "kornia",
)  # fmt: skip


def cpu_model():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def facts():
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "date": datetime.date.today().isoformat(),
        "command": " ".join(["python", *(Path(word).name if Path(word).is_absolute() else word for word in sys.argv)]),
        "cpu": cpu_model(),
        "cpus": os.cpu_count(),
        "system": platform.platform(),
        "libjpeg_turbo": features.version("libjpeg_turbo"),
        "versions": versions,
        "nnjpeg": config(),
    }
