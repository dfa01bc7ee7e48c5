"""Compares nnjpeg with Pillow on a folder of images that others made, for instance Tests/images of Pillow's sources.

    python tests/pillow_images.py FOLDER [--json FILE]

Every file that Pillow opens in mode L or RGB, or that converts to these without loss (bits, palettes, opaque alpha),
takes the way of a JPEG file, by its first frame: written and read again by Pillow, and through nnjpeg as an array, a
PIL image, a tensor of bytes and one of floats, on every instruction set of the machine. JPEG files are also read by
`nnjpeg.decode` and by Pillow. Then `nnjpeg compress` is run on the folder: each image is written or reported in one
line, and what is written decodes to what the transform gives. Exit status 1 if a sample differs, anything raises an
error where it should not, or an image is neither written nor reported.
"""

import argparse
import contextlib
import datetime
import hashlib
import io
import json
import platform
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps, features

import nnjpeg
from nnjpeg import NN_TABLE, QTable, _core
from nnjpeg.cli import main as nnjpeg_main
from nnjpeg.transforms import nn_jpeg

QUALITIES = (5, 50, 75, 95)
LUMINANCE, CHROMINANCE = QTable.standard_luminance(), QTable.standard_chrominance()


class Unsuitable(Exception):
    """A file that is not an image, or not one that 8-bit grey or RGB holds."""


class Setting(NamedTuple):
    """One kind of JPEG: how nnjpeg is asked for it, and how Pillow."""

    name: str
    qtable: object
    colorspace: str
    saving: dict


class Findings:
    """What the comparisons found, counted."""

    def __init__(self):
        self.files = self.images = self.comparisons = 0
        self.skipped = Counter()
        self.differing = []  # (what, samples)
        self.errors = []

    def compare(self, what, found, expected):
        """Count the samples that differ; `found` is a function without arguments."""
        try:
            found = np.asarray(found())
        except Exception as error:
            self.errors.append(f"{what}: {type(error).__name__}: {error}")
            return
        self.comparisons += 1
        if found.shape != expected.shape:
            self.errors.append(f"{what}: shape {found.shape}, expected {expected.shape}")
        elif samples := int(np.count_nonzero(found != expected)):
            self.differing.append((what, samples))

    @property
    def differing_samples(self):
        return sum(samples for _, samples in self.differing)

    @property
    def failed(self):
        return bool(self.differing or self.errors)


def settings(mode):
    """The kinds of JPEG that an image of a mode is compared in. Pillow makes the standard tables by itself."""
    found = []
    for colorspace in ("rgb", "ycbcr") if mode == "RGB" else ("rgb",):
        keep = {"keep_rgb": True} if (mode, colorspace) == ("RGB", "rgb") else {}
        found.append(Setting("NN", NN_TABLE, colorspace, {"qtables": [np.ravel(NN_TABLE).tolist()], **keep}))
        for quality in QUALITIES:
            luma, chroma = LUMINANCE.at_quality(quality), CHROMINANCE.at_quality(quality)
            qtable = [luma, chroma, chroma] if colorspace == "ycbcr" else luma
            found.append(Setting(f"standard {quality}", qtable, colorspace, {"quality": quality, **keep}))
    return found


# Each way through nnjpeg: from a picture to samples.


def _array(picture, qtable, colorspace):
    return nnjpeg.roundtrip(np.asarray(picture), qtable, colorspace=colorspace)


def _picture(picture, qtable, colorspace):
    return np.asarray(nn_jpeg(picture, qtable, colorspace=colorspace))


def _tensor(picture, qtable, colorspace):
    return _samples(nn_jpeg(_planes(picture), qtable, colorspace=colorspace))


def _floats(picture, qtable, colorspace):
    result = nn_jpeg(_planes(picture) / 255, qtable, colorspace=colorspace, precision="uint8")
    return _samples((result * 255).round().to(torch.uint8))


def _planes(picture):
    samples = torch.from_numpy(np.array(picture))
    return samples[None] if samples.ndim == 2 else samples.permute(2, 0, 1).contiguous()


def _samples(planes):
    return (planes[0] if len(planes) == 1 else planes.permute(1, 2, 0)).numpy()


WAYS = {"array": _array, "PIL image": _picture, "tensor": _tensor, "float tensor": _floats}


def lossless(image):
    """An opened image in mode L or RGB with the same colours, loaded; Unsuitable if there is none."""
    if image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema() != (255, 255):
        raise Unsuitable("transparency")
    if image.mode in ("1", "L", "LA"):
        return image.convert("L")
    if image.mode in ("P", "PA", "RGB", "RGBA"):
        return image.convert("RGB")
    raise Unsuitable(f"mode {image.mode}")


def opened(path, upright=False):
    """The picture in a file, as stored or upright by its orientation tag, in mode L or RGB."""
    try:
        with Image.open(path) as image:
            image.load()
            return lossless(ImageOps.exif_transpose(image) if upright else image).copy()
    except Unsuitable:
        raise
    except Exception as error:
        raise Unsuitable(f"Pillow raises {type(error).__name__}") from None


def _opens(path):
    try:
        opened(path)
    except Unsuitable:
        return False
    return True


def by_pillow(picture, setting):
    """What libjpeg-turbo makes of a picture; None where it refuses to write it."""
    plain = Image.fromarray(np.asarray(picture))  # without the metadata
    file = io.BytesIO()
    try:
        plain.save(file, "JPEG", subsampling=0, **setting.saving)
    except (OSError, ValueError):
        return None
    return np.asarray(Image.open(file))


def compare_codec(path, name, findings):
    """Every way, setting and instruction set on the picture in one file."""
    try:
        picture = opened(path)
    except Unsuitable as reason:
        findings.skipped[str(reason)] += 1
        return
    findings.images += 1
    before = _core.isa()
    try:
        for setting in settings(picture.mode):
            expected = by_pillow(picture, setting)
            if expected is None:
                findings.skipped["a setting in which libjpeg refuses to code the image"] += 1
                continue
            for isa in (isa for isa, there in _core.compiled_isas().items() if there):
                _core.use_isa(isa)
                for way, function in WAYS.items():
                    what = f"{name}: {way}, {setting.name}, {setting.colorspace}, {isa}"
                    findings.compare(what, lambda f=function, s=setting: f(picture, s.qtable, s.colorspace), expected)
    finally:
        _core.use_isa(before)


def compare_decode(path, name, findings):
    """A JPEG file read by both; what Pillow cannot read as grey or RGB, `decode` refuses by its documented errors."""
    try:
        with Image.open(path, formats=["JPEG"]) as image:
            expected = np.asarray(image) if image.mode in ("L", "RGB") else None
    except Exception:
        if _is_jpeg(path):
            _expect_refusal(path, name, findings)
        return
    if expected is None:
        _expect_refusal(path, name, findings)
    else:
        findings.compare(f"{name}: decode", lambda: nnjpeg.decode(path), expected)


def _is_jpeg(path):
    return path.read_bytes().startswith(b"\xff\xd8")


def _expect_refusal(path, name, findings):
    try:
        nnjpeg.decode(path)
    except (OSError, ValueError):
        return
    except Exception as error:
        findings.errors.append(f"{name}: decode: {type(error).__name__}: {error}")
        return
    findings.errors.append(f"{name}: decode reads what Pillow does not")


# nnjpeg compress


def compare_compress(folder, files, findings):
    """The command on the folder; then each file whose name in the output is another's too, by itself."""
    known = Image.registered_extensions()
    sources = [file for file in files if file.suffix.lower() in known]
    if not sources:
        return
    targets = {source: source.relative_to(folder).with_suffix(".jpg") for source in sources}
    namesakes = Counter(targets.values())
    alone = [source for source in sources if namesakes[targets[source]] > 1]
    before = _digests(sources)
    with tempfile.TemporaryDirectory() as out:
        out = Path(out)
        lines = _run_compress(folder, out / "all", findings)
        if lines is None:
            return
        written = {file.relative_to(out / "all") for file in _files(out / "all")}
        for stray in written - set(targets.values()):
            findings.errors.append(f"compress: leaves {stray}, which no image is named for")
        for source in sources:
            if namesakes[targets[source]] == 1:
                _check_compressed(source, folder, out / "all" / targets[source], lines, findings)
        for target in {targets[source] for source in alone}:
            reports = sum(len(_reports(source, lines)) for source in alone if targets[source] == target)
            if reports + (target in written) != namesakes[target]:
                findings.errors.append(f"compress: of {namesakes[target]} images {target}, {reports} are reported")
        for number, source in enumerate(alone):
            place = out / str(number)
            lines = _run_compress(source, place, findings)
            if lines is None:
                continue
            _check_compressed(source, folder, place / targets[source].name, lines, findings)
    for source in sources:
        if _digests([source]) != {source: before[source]}:
            findings.errors.append(f"compress: changes {source.relative_to(folder)}")


def _files(folder):
    return sorted(file for file in folder.rglob("*") if file.is_file()) if folder.is_dir() else []


def _digests(files):
    return {file: hashlib.sha256(file.read_bytes()).digest() for file in files}


def _run_compress(given, out, findings):
    """The lines of standard error; None if the command ended in an exception."""
    error = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(error):
        try:
            status = nnjpeg_main(["compress", str(given), "-o", str(out)])
        except (Exception, SystemExit) as raised:
            findings.errors.append(f"compress {given}: {type(raised).__name__}: {raised}")
            return None
    lines = error.getvalue().splitlines()
    skipped = sum(f"skipped {given}" in line for line in lines)
    if status != (1 if skipped else 0):
        findings.errors.append(f"compress {given}: status {status} with {skipped} images reported as skipped")
    return lines


def _reports(source, lines):
    return [line for line in lines if f"skipped {source}:" in line]


def _check_compressed(source, folder, target, lines, findings):
    """That one image was written as the transform gives it, or reported in one line."""
    name = source.relative_to(folder)
    reports = _reports(source, lines)
    if not target.exists():
        if len(reports) != 1:
            findings.errors.append(f"compress: {name} is not written, and reported in {len(reports)} lines")
        elif _opens(source):
            reason = reports[0].partition(f"{source}: ")[2].replace(str(source), "FILE")
            findings.skipped[f"compress refuses an image that opens as 8-bit grey or RGB: {reason}"] += 1
        return
    if reports:
        findings.errors.append(f"compress: {name} is written, and reported as skipped")
    try:
        picture = opened(source, upright=True)
    except Unsuitable as reason:
        findings.errors.append(f"compress: {name} is written, though not without loss ({reason})")
        return
    expected = nnjpeg.roundtrip(np.asarray(picture), NN_TABLE)
    findings.compare(f"{name}: compress", lambda: nnjpeg.decode(target), expected)


# The report


def about():
    """What was compared with what, where and when."""
    return {
        "date": datetime.date.today().isoformat(),
        "nnjpeg": nnjpeg.__version__,
        "pillow": Image.__version__,
        "libjpeg-turbo": features.version("libjpeg_turbo"),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "instruction sets": [isa for isa, there in _core.compiled_isas().items() if there],
    }


def summary(findings):
    """The figures as (name, number)."""
    return {
        "files": findings.files,
        "images compared": findings.images,
        "comparisons": findings.comparisons,
        "differing comparisons": len(findings.differing),
        "differing samples": findings.differing_samples,
        "errors": len(findings.errors),
    }


def compare(folder, findings):
    """All comparisons of a folder."""
    files = _files(folder)
    findings.files = len(files)
    said = time.monotonic()
    for done, path in enumerate(files):
        name = path.relative_to(folder)
        compare_codec(path, name, findings)
        compare_decode(path, name, findings)
        if time.monotonic() - said > 10:
            said = time.monotonic()
            print(f"{done + 1} of {len(files)} files", file=sys.stderr)
    compare_compress(folder, files, findings)


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        epilog="Prints what was compared, what was skipped and why, and what differed. Exit status 1 if anything did.",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="of images of any kind, searched with its folders")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures, with versions, as JSON")
    options = parser.parse_args(arguments)
    if not options.folder.is_dir():
        parser.error(f"{options.folder} is not a folder")
    findings = Findings()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Pillow, about damaged files
        compare(options.folder, findings)
    for what, samples in findings.differing:
        print(f"differs in {samples} samples: {what}")
    for error in findings.errors:
        print(f"error: {error}")
    figures = summary(findings)
    for name, number in figures.items():
        print(f"{number:9d}  {name}")
    for reason, number in findings.skipped.most_common():
        print(f"{number:9d}  skipped: {reason}")
    if options.json is not None:
        details = {"skipped": findings.skipped, "differing": findings.differing, "errors": findings.errors}
        options.json.write_text(json.dumps({**about(), **figures, **details}, indent=1) + "\n")
    return 1 if findings.failed else 0


if __name__ == "__main__":
    sys.exit(main())
