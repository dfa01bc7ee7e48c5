"""Float tensors on one thread: the transform, its gradients, and the peers that have some, as ratios to Pillow.

    python bench/floats.py -o bench/results/NAME.json

The workload is a batch of 64 float32 images of 3x224x224, NCHW; the baseline is Pillow doing the equal job on the same
images as bytes, without a conversion from and to floats. Method as in speed.py.
"""

import argparse
import json
from pathlib import Path

import torch
from machine import facts
from peers import Job, Workload, batch, ours, pillow_batch, torch_matmul
from speed import measure  # which also pins the process to one CPU

from nnjpeg import atomic, ops


def float_batch(images):
    return batch(images).float() / 255


def graph_of(**options):
    """An image, its result and a gradient of that, for a backward pass again and again."""

    def prepare(images):
        image = float_batch(images).requires_grad_()
        result = ops.roundtrip(image, **options)
        return result, image, torch.ones_like(result)

    return prepare


def backward(graph):
    torch.autograd.grad(*graph, retain_graph=True)


def jobs():
    named = [
        ("forward", float_batch, ops.roundtrip),
        ("forward, precision float", float_batch, lambda x: ops.roundtrip(x, precision="float")),
        ("backward, straight-through", graph_of(), backward),
        (
            "forward, cubic, precision float",
            float_batch,
            lambda x: ops.roundtrip(x, gradient="cubic", precision="float"),
        ),
        ("backward, cubic", graph_of(gradient="cubic"), backward),
    ]
    for name, prepare, run in named:
        for job in ours(prepare, run):
            yield Job(f"{job.name}: {name}", "float" if "precision float" in name else "yes", job.prepare, job.run)
    yield Job("torch 64x64 matmul", "float", float_batch, torch_matmul)
    try:
        from kornia.enhance import jpeg_codec_differentiable
    except ImportError:
        print("not installed, left out: kornia")
    else:
        q = torch.tensor([75.0])
        yield Job("kornia jpeg_codec_differentiable", "soft", float_batch, lambda x: jpeg_codec_differentiable(x, q))
    yield Job("clone (the memory's limit)", "-", float_batch, torch.clone)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON to write")
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    baseline = Job("Pillow, equal job", "yes", batch, pillow_batch)
    workload = Workload("64 x 3x224x224 float32", (224, 224), 64, baseline, list(jobs()))
    result = {**facts(), "repeats": options.repeats, "workloads": [measure(workload, options.repeats, 0.05)]}
    atomic.write(options.output, (json.dumps(result, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
