"""Float tensors on one thread: the transform, its gradients, and the peers that have some, as ratios to Pillow.

    python bench/floats.py -o bench/results/NAME.json

The workloads are batches of 64 float32 images of 3x224x224, NCHW, in RGB with the NN table, and in 4:2:0 at quality 75;
the baseline is Pillow doing the equal job on the same images as bytes, without a conversion from and to floats. Method
as in speed.py.
"""

import argparse
import functools
import json
from pathlib import Path

import torch
from machine import facts
from peers import QUALITY, Job, Workload, batch, ours, pillow_420, pillow_batch, pillow_equal, torch_matmul
from speed import measure  # which also pins the process to one CPU

from nnjpeg import atomic
from nnjpeg.transforms import jpeg, nn_jpeg


def float_batch(images):
    return batch(images).float() / 255


def graph_of(function):
    """An image, its result and a gradient of that, for a backward pass again and again."""

    def prepare(images):
        image = float_batch(images).requires_grad_()
        result = function(image)
        return result, image, torch.ones_like(result)

    return prepare


def backward(graph):
    torch.autograd.grad(*graph, retain_graph=True)


def jobs(function):
    """What a function of an image, gradient= and precision= takes, on each instruction set."""
    cubic = functools.partial(function, gradient="cubic")
    named = [
        ("forward", float_batch, function),
        ("forward, precision float", float_batch, functools.partial(function, precision="float")),
        ("backward, straight-through", graph_of(function), backward),
        ("forward, cubic, precision float", float_batch, functools.partial(cubic, precision="float")),
        ("backward, cubic", graph_of(cubic), backward),
    ]
    for name, prepare, run in named:
        for job in ours(prepare, run):
            yield Job(f"{job.name}: {name}", "float" if "precision float" in name else "yes", job.prepare, job.run)
    yield Job("clone (the memory's limit)", "-", float_batch, torch.clone)


def workloads():
    rgb = [*jobs(nn_jpeg), Job("torch 64x64 matmul", "float", float_batch, torch_matmul)]
    chroma = list(jobs(functools.partial(jpeg, quality=QUALITY)))
    try:
        from kornia.enhance import jpeg_codec_differentiable
    except ImportError:
        print("not installed, left out: kornia")
    else:
        q = torch.tensor([float(QUALITY)])
        run = functools.partial(jpeg_codec_differentiable, jpeg_quality=q)
        chroma.append(Job("kornia jpeg_codec_differentiable", "soft", float_batch, run))
    for name, pillow, found in (("RGB", pillow_equal, rgb), ("4:2:0", pillow_420, chroma)):
        baseline = Job("Pillow", "yes", batch, pillow_batch(pillow))
        yield Workload(f"64 x 3x224x224 float32, {name}", (224, 224), 64, baseline, found)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON to write")
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    result = {**facts(), "repeats": options.repeats}
    result["workloads"] = [measure(workload, options.repeats, 0.05) for workload in workloads()]
    atomic.write(options.output, (json.dumps(result, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
