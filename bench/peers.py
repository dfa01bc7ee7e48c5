"""The jobs that are timed: ours, the equal job in Pillow, and everyone who does something like it.

A job takes a list of images in its own form and goes through all of them once. Peers that are not installed are left
out, and say so.
"""

import functools
import importlib
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
from nnjpeg import NN_TABLE, QTable, _core
from nnjpeg.transforms import JPEG, NNJpeg

STEPS = np.asarray(NN_TABLE)
QTABLES = [STEPS.ravel().tolist()]
QUALITY = 75  # of all that is 4:2:0
LUMA, CHROMA = (t.at_quality(QUALITY) for t in (QTable.standard_luminance(), QTable.standard_chrominance()))


@dataclass(frozen=True)
class Job:
    name: str
    same: str
    """How its maths compares with ours: yes, or what differs, or - for the limit."""
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


def pillow_420(image):
    return np.asarray(save(Image.fromarray(image), quality=QUALITY))


def pillow_batch(pillow):
    """A batch of tensors by a function of arrays."""

    def run(tensor):
        images = tensor.permute(0, 2, 3, 1).contiguous().numpy()
        return torch.from_numpy(np.stack([pillow(image) for image in images])).permute(0, 3, 1, 2).contiguous()

    return run


def nnjpeg_array(tables=NN_TABLE, **coding):
    return each(lambda image: nnjpeg.roundtrip(image, tables, num_threads=1, **coding))


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


def installed(module):
    """A module, or None."""
    try:
        return importlib.import_module(module)
    except ImportError:
        return None


def peers():
    """(jobs in RGB, jobs of 4:2:0, the packages that are not installed): every peer that takes single images."""
    rgb = [
        Job("scipy dctn + numpy", "float", arrays, each(scipy_dct)),
        Job("torch 64x64 matmul, float32", "float", float_batches, each(torch_matmul)),
    ]
    chroma = [
        Job("torchvision v2.JPEG", "yes", tensors, each(v2.JPEG(QUALITY))),
        Job("torchvision.io encode + decode", "yes", tensors, each(torchvision_files)),
    ]
    missing = []
    if simplejpeg := installed("simplejpeg"):

        def by_simplejpeg(subsampling):
            def run(x):
                data = simplejpeg.encode_jpeg(x, quality=QUALITY, colorspace="RGB", colorsubsampling=subsampling)
                return simplejpeg.decode_jpeg(data, colorspace="RGB", fastdct=False, fastupsample=False)

            return each(run)

        rgb.append(Job("simplejpeg, YCbCr 4:4:4", "fast DCT", arrays, by_simplejpeg("444")))
        chroma.append(Job("simplejpeg", "fast DCT", arrays, by_simplejpeg("420")))
    else:
        missing.append("simplejpeg")
    if cv2 := installed("cv2"):
        cv2.setNumThreads(1)
        options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
        opencv = each(lambda x: cv2.imdecode(cv2.imencode(".jpg", x, options)[1], cv2.IMREAD_COLOR))
        chroma.append(Job("OpenCV", "yes, of BGR", arrays, opencv))
    else:
        missing.append("opencv-python-headless")
    if imagecodecs := installed("imagecodecs"):

        def by_imagecodecs(**options):
            def run(x):
                data = imagecodecs.jpeg8_encode(x, level=QUALITY, colorspace="RGB", **options)
                return imagecodecs.jpeg8_decode(data, colorspace=options.get("outcolorspace"), outcolorspace="RGB")

            return each(run)

        job = by_imagecodecs(outcolorspace="RGB", subsampling="444")
        rgb.append(Job("imagecodecs, RGB 4:4:4", "other table", arrays, job))
        chroma.append(Job("imagecodecs", "yes", arrays, by_imagecodecs(subsampling="420")))
    else:
        missing.append("imagecodecs")
    if installed("kornia"):
        from kornia.enhance import jpeg_codec_differentiable

        quality = torch.tensor([float(QUALITY)])
        kornia_job = each(lambda x: jpeg_codec_differentiable(x, quality))
        chroma.append(Job("kornia jpeg_codec_differentiable", "soft", float_batches, kornia_job))
    else:
        missing.append("kornia")
    return rgb, chroma, missing


def torchvision_files(x):
    return tvio.decode_jpeg(tvio.encode_jpeg(x, quality=QUALITY))


LIMIT = Job("numpy.copyto (the memory's limit)", "-", arrays, copy)
BASELINE = Job("Pillow", "yes", arrays, each(pillow_equal))


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
    peers: str = ""
    """The table of peers that it is a column of, if any."""


def workloads(with_peers=True):
    """The rows of the README's table."""
    rgb, chroma, missing = peers() if with_peers else ([], [], [])
    array_jobs = [*ours(arrays, nnjpeg_array()), *rgb, LIMIT]
    array_420 = nnjpeg_array([LUMA, CHROMA, CHROMA], colorspace="ycbcr", subsampling="4:2:0")
    jobs_420 = [*ours(arrays, array_420), *chroma, LIMIT]
    baseline_420 = Job("Pillow", "yes", arrays, each(pillow_420))
    nn_jpeg, jpeg_420 = NNJpeg(), JPEG(QUALITY)

    def pillow_saved(**options):
        return Job("Pillow", "yes", pil_images, each(lambda x: save(x, **options).load()))

    found = [
        Workload(name, size, images, BASELINE, array_jobs, "RGB")
        for name, size, images in (
            ("32x32", (32, 32), 8),
            ("224x224", (224, 224), 8),
            ("512x512", (512, 512), 4),
            ("4000x3000", (3000, 4000), 1),
        )
    ]
    a_batch = Job("Pillow", "yes", batch, pillow_batch(pillow_equal))
    pictures = pillow_saved(qtables=QTABLES, keep_rgb=True, subsampling=0)
    found += [
        Workload("64 x 3x224x224 tensor", (224, 224), 64, a_batch, ours(batch, nn_jpeg)),
        Workload("224x224 PIL to PIL", (224, 224), 8, pictures, ours(pil_images, each(nn_jpeg))),
        Workload(
            "224x224 YCbCr 4:4:4",
            (224, 224),
            8,
            Job("Pillow", "yes", arrays, each(pillow_ycbcr)),
            ours(arrays, nnjpeg_array(colorspace="ycbcr")),
        ),
        Workload("224x224 4:2:0", (224, 224), 8, baseline_420, jobs_420, "YCbCr 4:2:0"),
        Workload("512x512 4:2:0", (512, 512), 4, baseline_420, jobs_420, "YCbCr 4:2:0"),
    ]
    a_batch = Job("Pillow", "yes", batch, pillow_batch(pillow_420))
    found += [
        Workload("64 x 3x224x224 tensor, `JPEG(75)`", (224, 224), 64, a_batch, ours(batch, jpeg_420)),
        Workload(
            "224x224 PIL to PIL, `JPEG(75)`",
            (224, 224),
            8,
            pillow_saved(quality=QUALITY),
            ours(pil_images, each(jpeg_420)),
        ),
    ]
    # The equal job of others than Pillow.
    for job in chroma:
        if job.name == "torchvision v2.JPEG":
            jobs = ours(tensors, each(jpeg_420))
            found.append(Workload("3x224x224 tensor, `JPEG(75)`", (224, 224), 8, job, jobs))
        elif job.name == "OpenCV":
            found.append(Workload("224x224 4:2:0", (224, 224), 8, job, ours(arrays, array_420)))
    return found, missing
