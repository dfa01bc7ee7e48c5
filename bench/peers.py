"""The jobs that are timed: ours, the equal job in Pillow, and everyone who does something like it.

A job takes a list of images in its own form and goes through all of them once. Peers that are not installed are left
out, and say so.
"""

import functools
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft
import torch
from PIL import Image
from torchvision import io as tvio
from torchvision.transforms import v2

import nnjpeg
from nnjpeg import NN_TABLE, _core
from nnjpeg.transforms import NNJpeg

STEPS = np.asarray(NN_TABLE)
QTABLES = [STEPS.ravel().tolist()]


@dataclass(frozen=True)
class Job:
    name: str
    same: str
    """How its maths compares with ours: yes, no, float, soft, or - for the limit."""
    prepare: Callable[[list[np.ndarray]], Any]
    run: Callable[[Any], Any]


def arrays(images):
    return images


def tensors(images):
    return [torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))) for image in images]


def batch(images):
    return torch.stack(tensors(images))


def pil_images(images):
    return [Image.fromarray(image) for image in images]


def each(function):
    def run(images):
        for image in images:
            function(image)

    return run


def save(image, **options):
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return Image.open(file)


def pillow_equal(image):
    return np.asarray(save(Image.fromarray(image), qtables=QTABLES, keep_rgb=True, subsampling=0))


def pillow_ycbcr(image):
    return np.asarray(save(Image.fromarray(image), qtables=QTABLES, subsampling=0))


def pillow_batch(tensor):
    images = tensor.permute(0, 2, 3, 1).contiguous().numpy()
    return torch.from_numpy(np.stack([pillow_equal(image) for image in images])).permute(0, 3, 1, 2).contiguous()


def nnjpeg_array(colorspace):
    return each(lambda image: nnjpeg.roundtrip(image, NN_TABLE, colorspace=colorspace, num_threads=1))


def copy(images):
    for image in images:
        np.copyto(np.empty_like(image), image)


def scipy_dct(image):
    h, w = (side - side % 8 for side in image.shape[:2])
    blocks = image[:h, :w].reshape(h // 8, 8, w // 8, 8, 3).astype(np.float32) - 128
    table = STEPS[None, :, None, :, None].astype(np.float32)
    coefficients = np.rint(scipy.fft.dctn(blocks, axes=(1, 3), norm="ortho") / table) * table
    samples = scipy.fft.idctn(coefficients, axes=(1, 3), norm="ortho") + 128
    return np.clip(np.rint(samples), 0, 255).astype(np.uint8).reshape(h, w, 3)


def dct_matrix():
    n, k = np.arange(8), np.arange(8)[:, None]
    matrix = np.cos((2 * n + 1) * k * np.pi / 16) / 2
    matrix[0] /= np.sqrt(2)
    return torch.from_numpy(matrix.astype(np.float32))


# The two-dimensional DCT of a block as one 64x64 matrix.
@functools.cache
def matrices(device):
    steps = torch.from_numpy(STEPS.astype(np.float32).ravel())
    return torch.kron(dct_matrix(), dct_matrix()).to(device), steps.to(device)


def torch_matmul(tensor):
    kron, steps = matrices(tensor.device)
    n, c, h, w = tensor.shape
    blocks = tensor.reshape(n, c, h // 8, 8, w // 8, 8).permute(0, 1, 2, 4, 3, 5).reshape(-1, 64) * 255 - 128
    coefficients = torch.round(blocks @ kron.T / steps) * steps
    samples = (coefficients @ kron + 128).clamp(0, 255) / 255
    return samples.reshape(n, c, h // 8, w // 8, 8, 8).permute(0, 1, 2, 4, 3, 5).reshape(n, c, h, w)


def float_batches(images):
    """Batches of one image, multiples of 8 on each side."""
    return [t[None, :, : t.shape[1] // 8 * 8, : t.shape[2] // 8 * 8].float() / 255 for t in tensors(images)]


def peers():
    """Every peer that takes single images."""
    jobs = [
        Job(
            "Pillow, quality 75, 4:2:0", "no", arrays, each(lambda x: np.asarray(save(Image.fromarray(x), quality=75)))
        ),
        Job("torchvision v2.JPEG(75)", "no", tensors, each(v2.JPEG(75))),
        Job(
            "torchvision.io encode + decode",
            "no",
            tensors,
            each(lambda x: tvio.decode_jpeg(tvio.encode_jpeg(x, quality=75))),
        ),
        Job("scipy dctn + numpy", "float", arrays, each(scipy_dct)),
        Job("torch 64x64 matmul, float32", "float", float_batches, each(torch_matmul)),
    ]
    missing = []
    try:
        import simplejpeg

        def simplejpeg_job(x):
            data = simplejpeg.encode_jpeg(x, quality=75, colorspace="RGB", colorsubsampling="444")
            return simplejpeg.decode_jpeg(data, colorspace="RGB")

        jobs.append(Job("simplejpeg 4:4:4", "no", arrays, each(simplejpeg_job)))
    except ImportError:
        missing.append("simplejpeg")
    try:
        import cv2

        cv2.setNumThreads(1)
        options = [cv2.IMWRITE_JPEG_QUALITY, 75]
        opencv = each(lambda x: cv2.imdecode(cv2.imencode(".jpg", x, options)[1], cv2.IMREAD_COLOR))
        jobs.append(Job("OpenCV, quality 75, 4:2:0", "no", arrays, opencv))
    except ImportError:
        missing.append("opencv-python-headless")
    try:
        import imagecodecs

        def imagecodecs_job(x):
            data = imagecodecs.jpeg8_encode(x, level=75, colorspace="RGB", outcolorspace="RGB", subsampling="444")
            return imagecodecs.jpeg8_decode(data, colorspace="RGB", outcolorspace="RGB")

        jobs.append(Job("imagecodecs, RGB 4:4:4", "other table", arrays, each(imagecodecs_job)))
    except ImportError:
        missing.append("imagecodecs")
    try:
        from kornia.enhance import jpeg_codec_differentiable

        quality = torch.tensor([75.0])
        kornia_job = each(lambda x: jpeg_codec_differentiable(x, quality))
        jobs.append(Job("kornia jpeg_codec_differentiable", "soft", float_batches, kornia_job))
    except ImportError:
        missing.append("kornia")
    return jobs, missing


LIMIT = Job("numpy.copyto (the memory's limit)", "-", arrays, copy)
BASELINE = Job("Pillow, equal job", "yes", arrays, each(pillow_equal))


def ours(prepare, run):
    """One job for each instruction set of this CPU, best first; each switches to its own when it is prepared."""

    def on(isa):
        def with_isa(images):
            _core.use_isa(isa)
            return prepare(images)

        return with_isa

    isas = [isa for isa, supported in _core.compiled_isas().items() if supported]
    return [Job(f"nnjpeg, {isa}", "yes", on(isa), run) for isa in isas]


@dataclass(frozen=True)
class Workload:
    name: str
    size: tuple[int, int]
    images: int
    baseline: Job
    jobs: list[Job]


def workloads(with_peers=True):
    """The rows of the README's table."""
    others, missing = peers() if with_peers else ([], [])
    array_jobs = [*ours(arrays, nnjpeg_array("rgb")), *others, LIMIT]
    large_jobs = [job for job in array_jobs if "kornia" not in job.name]
    transform = NNJpeg()
    pil_baseline = Job(
        "Pillow, equal job",
        "yes",
        pil_images,
        each(lambda x: save(x, qtables=QTABLES, keep_rgb=True, subsampling=0).load()),
    )
    return [
        Workload("32x32", (32, 32), 8, BASELINE, array_jobs),
        Workload("224x224", (224, 224), 8, BASELINE, array_jobs),
        Workload("512x512", (512, 512), 4, BASELINE, array_jobs),
        Workload("4000x3000", (3000, 4000), 1, BASELINE, large_jobs),
        Workload(
            "64 x 3x224x224 tensor",
            (224, 224),
            64,
            Job("Pillow, equal job", "yes", batch, pillow_batch),
            ours(batch, transform),
        ),
        Workload("224x224 PIL to PIL", (224, 224), 8, pil_baseline, ours(pil_images, each(transform))),
        Workload(
            "224x224 ycbcr",
            (224, 224),
            8,
            Job("Pillow, equal job", "yes", arrays, each(pillow_ycbcr)),
            ours(arrays, nnjpeg_array("ycbcr")),
        ),
    ], missing
