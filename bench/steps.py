"""One training step of noisy training beside those of the methods that it is compared with, on the same batch.

    python bench/steps.py -o bench/results/NAME.json

A step is one batch: losses, gradients and updates of the weights (four of them in Free AT). Fast AT is measured twice:
as nnjpeg does it, where the attack takes the gradient of the images alone, and as its authors' code does it, where the
attack also computes gradients of the weights and throws them away. Turns alternate; ratios are medians of paired
repeats. The share of the transform is that of NN-JPEG on the batch's bytes; "x_q" adds the conversions and the noise.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from machine import facts
from torch.nn import functional

from nnjpeg import atomic
from nnjpeg.robust import data, models
from nnjpeg.robust.attack import gradients as attacks
from nnjpeg.robust.train import photos as fitting
from nnjpeg.robust.train.objectives import Adversarial, Draws, Free, Noisy, Plain

EPS = 8 / 255


class FastAsPublished(Plain):
    """Fast AT with a full backward pass in its attack."""

    def losses(self, model, images, labels, draws):
        start = attacks.project(images + EPS * (2 * draws.uniform(*images.shape) - 1), images, EPS)
        leaf = start.requires_grad_()
        functional.cross_entropy(model(leaf), labels).backward()
        attacked = attacks.project(start.detach() + 1.25 * EPS * leaf.grad.sign(), images, EPS)
        for parameter in model.parameters():
            parameter.grad = None
        yield functional.cross_entropy(model(attacked), labels)


METHODS = {
    "plain": Plain(),
    "noisy": Noisy(50, EPS),
    "fast": Adversarial.fast(EPS),
    "fast as published": FastAsPublished(),
    "free, m = 4": Free(EPS, 4),
    "pgd": Adversarial.pgd(EPS),
}


def seconds(function):
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    function()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def stepper(objective, model, images, labels):
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, weight_decay=1e-4)

    def step():
        for loss in objective.losses(model, images, labels, Draws((0,), images.device)):
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

    return step


def measure(name, make, images, labels, repeats):
    noisy = METHODS["noisy"]
    pixels = attacks.to_bytes(images)

    def compressed():
        x = noisy.transform(attacks.to_bytes(images)) / 255
        return (x + noisy.noise * Draws((0,), images.device).normal(*images.shape)).clamp_(0, 1)

    jobs = {method: stepper(objective, make(), images, labels) for method, objective in METHODS.items()}
    jobs |= {"transform": lambda: noisy.transform(pixels), "x_q": compressed}
    for job in jobs.values():
        job()
    times = {job: [] for job in jobs}
    for _ in range(repeats):
        for job, function in jobs.items():
            times[job].append(seconds(function))
    times = {job: np.array(values) for job, values in times.items()}
    row = {"model": name, "batch": list(images.shape), "milliseconds": {}, "noisy_over": {}}
    for job, values in times.items():
        row["milliseconds"][job] = float(np.median(values) * 1e3)
        if job in METHODS and job != "noisy":
            row["noisy_over"][job] = float(np.median(times["noisy"] / values))
    row["share_of_transform"] = float(np.median(times["transform"] / times["noisy"]))
    row["share_of_x_q"] = float(np.median(times["x_q"] / times["noisy"]))
    print(json.dumps(row, indent=1))
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON to write")
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    small = data.photos("train", 64)
    large = torch.nn.functional.interpolate(small.pixels[:16] / 255, (224, 224), mode="bilinear").to(device)
    tiny = torch.nn.functional.interpolate(data.photos("train", 128).pixels / 255, (32, 32), mode="area").to(device)
    rows = [
        measure(
            "resnet20", lambda: models.load("resnet20").train().to(device), tiny,
            torch.arange(128, device=device) % 10, options.repeats,
        ),
        measure(
            "preact", lambda: fitting.untrained().train().to(device),
            (small.pixels / 255).to(device), small.labels.to(device), options.repeats,
        ),
        measure(
            "resnet18", lambda: models.Classifier(models.create("resnet18", False, 7, {})[0]).train().to(device),
            large, small.labels[:16].to(device), options.repeats,
        ),
    ]  # fmt: skip
    atomic.write(options.output, (json.dumps({**facts(), "device": device, "rows": rows}, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
