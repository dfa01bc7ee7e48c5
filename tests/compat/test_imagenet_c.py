import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from nnjpeg.compat.imagenet_c import jpeg_compression


def saved_and_opened(image, quality):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


@pytest.mark.parametrize(("severity", "quality"), list(enumerate((25, 18, 15, 10, 7), 1)))
@pytest.mark.parametrize("mode", ["RGB", "L", "1", "CMYK", "YCbCr", "RGBX"])
def test_the_bits_of_the_benchmark(severity, quality, mode):
    rng = np.random.default_rng(severity)
    for size in [(1, 1), (224, 224), *rng.integers(1, 100, (20, 2))]:
        image = Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).convert(mode)
        expected, result = saved_and_opened(image, quality), jpeg_compression(image, severity)
        assert result.mode == expected.mode
        np.testing.assert_array_equal(np.asarray(result), np.asarray(expected))


def test_severity_is_1_by_default():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 41, 3), dtype=np.uint8))
    assert jpeg_compression(image) == jpeg_compression(image, 1) == jpeg_compression(image, severity=np.int64(1))


def test_what_is_refused():
    image = Image.new("RGB", (8, 8))
    for severity, error in [(0, ValueError), (6, ValueError), (3.0, TypeError), (True, TypeError), ("1", TypeError)]:
        with pytest.raises(error, match=r"severity must be an integer in 1\.\.5, got"):
            jpeg_compression(image, severity)
    with pytest.raises(TypeError, match="image must be a PIL image, got ndarray"):
        jpeg_compression(np.asarray(image))
    with pytest.raises(OSError, match="cannot write mode RGBA as JPEG"):
        jpeg_compression(image.convert("RGBA"))


def test_libraries_are_imported_only_when_they_are_asked_for(tmp_path):
    code = "import sys, nnjpeg.compat; print({'torch', 'kornia', 'albumentations', 'cv2'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=tmp_path, text=True).strip() == "set()"
