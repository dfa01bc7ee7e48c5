import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from nnjpeg.compat.imagenet_c import jpeg_compression


@pytest.mark.parametrize(("severity", "quality"), list(enumerate((25, 18, 15, 10, 7), 1)))
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_the_bits_of_the_benchmark(severity, quality, mode):
    rng = np.random.default_rng(severity)
    for size in [(1, 1), (224, 224), *rng.integers(1, 100, (20, 2))]:
        image = Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).convert(mode)
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        result = jpeg_compression(image, severity)
        assert result.mode == mode
        np.testing.assert_array_equal(np.asarray(result), np.asarray(Image.open(file)))


def test_what_is_refused():
    image = Image.new("RGB", (8, 8))
    for severity in (0, 6, 1.5, True, "1"):
        with pytest.raises(ValueError, match=r"severity must be an integer in 1\.\.5, got"):
            jpeg_compression(image, severity)
    with pytest.raises(TypeError, match="image must be a PIL image, got ndarray"):
        jpeg_compression(np.asarray(image))
    with pytest.raises(ValueError, match="got RGBA"):
        jpeg_compression(image.convert("RGBA"))


def test_libraries_are_imported_only_when_they_are_asked_for():
    code = "import sys, nnjpeg.compat; print({'torch', 'kornia', 'albumentations', 'cv2'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
