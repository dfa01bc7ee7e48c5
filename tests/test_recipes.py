"""The recipes of the documentation: each runs in a process of its own with the real library, compared exactly."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

RECIPES = Path(__file__).parent.parent / "docs/how-to/recipes.md"
BLOCK = re.compile(r"^<!-- recipe: (\w+) -->\n```python\n(.*?)^```$", re.S | re.M)

pytestmark = pytest.mark.skipif(not RECIPES.exists(), reason="the documentation is not here")

PRELUDE = """
import io
import sys
from pathlib import Path
import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import get_sampling
import nnjpeg
from nnjpeg import NN_TABLE, reference

FILES = {path.relative_to("photos").as_posix(): path for path in Path("photos").rglob("*.png")}
ORIGINALS = {name: np.asarray(Image.open(path)) for name, path in FILES.items()}
EXPECTED = {name: nnjpeg.roundtrip(image, NN_TABLE) for name, image in ORIGINALS.items()}
BY_ORDER = [EXPECTED[name] for name in sorted(EXPECTED)]

def same(found, expected):
    found = [np.asarray(image) for image in found]
    assert len(found) == len(expected), (len(found), len(expected))
    for one, other in zip(found, expected):
        np.testing.assert_array_equal(one, other)
"""

# What must hold after a recipe has run; and the packages that it needs.
CHECKS = {
    "dataloader": (
        [],
        """
for method in ("fork", "spawn", "forkserver"):
    loader = DataLoader(
        ImageFolder("photos", transform), 4, num_workers=2, persistent_workers=True, multiprocessing_context=method,
        timeout=100,
    )
    for epoch in range(2):
        images = torch.cat([batch for batch, _ in loader]).permute(0, 2, 3, 1)
        same(images.numpy(), BY_ORDER)
""",
    ),
    "datasets": (
        ["datasets"],
        """
for data in (stored, photos):
    same([row["image"] for row in data], BY_ORDER)
""",
    ),
    "webdataset": (
        ["webdataset"],
        """
for data in (stored, compressed):
    found = dict(data)
    assert sorted(found) == sorted(name.removesuffix(".png") for name in EXPECTED)
    for key, image in found.items():
        np.testing.assert_array_equal(image, EXPECTED[key + ".png"])
""",
    ),
    "tensorflow": (["tensorflow"], "same([image.numpy() for image in dataset], BY_ORDER)"),
    "albumentations": (
        ["albumentations"],
        "same([pipeline(image=ORIGINALS[name])['image'] for name in sorted(ORIGINALS)], BY_ORDER)",
    ),
    "keras": (
        ["keras"],
        """
batch = np.stack([ORIGINALS[name] for name in sorted(ORIGINALS)]).transpose(0, 3, 1, 2).astype(np.float32) / 255
found = np.rint(model.predict(batch, verbose=0) * 255).astype(np.uint8)
same(found.transpose(0, 2, 3, 1), BY_ORDER)
""",
    ),
    "jax": (
        ["jax"],
        """
batch = np.stack([ORIGINALS[name] for name in sorted(ORIGINALS)])
same(np.asarray(jitted(batch)), BY_ORDER)
planes = np.ascontiguousarray(batch.transpose(0, 3, 1, 2))
same(np.asarray(compress(jax.numpy.asarray(planes))).transpose(0, 2, 3, 1), BY_ORDER)
floats = np.asarray(compress(jax.numpy.asarray(planes, "float32") / 255))
same(np.rint(255 * floats).astype(np.uint8).transpose(0, 2, 3, 1), BY_ORDER)
""",
    ),
    "dali": (
        ["nvidia.dali"],
        """
built, found = pipeline(), []
built.build()
for _ in range(2):
    images, labels = built.run()
    found += [images.at(k) for k in range(4)]
same(found, BY_ORDER)
""",
    ),
    "ray": (
        ["ray"],
        """
rows = dataset.take_all()
same([row["image"] for row in sorted(rows, key=lambda row: row["path"])], BY_ORDER)
""",
    ),
    "forgery": (
        [],
        """
def by_pillow(image, quality):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return file.getvalue(), np.asarray(Image.open(file))

file, first = by_pillow(photo, 90)
np.testing.assert_array_equal(once.pixels, first)
expected = first.copy()
expected[24:40, 16:48] = by_pillow(donor, 60)[1][5:21, 3:35]
np.testing.assert_array_equal(forged, expected)
file, last = by_pillow(expected[3:, 5:], 75)
np.testing.assert_array_equal(twice.pixels, last)
assert nnjpeg.settings_of(file) == (tuple(twice.qtable), *CODING.values())
assert mask.shape == last.shape[:2] and mask.sum() == 16 * 32
held = reference.forward(expected[3:, 5:], twice.qtable, **CODING)
for found, expected in zip(twice.coefficients, held, strict=True):
    np.testing.assert_array_equal(found, expected)
assert [found.shape[:2] for found in held] == [(8, 8), (4, 4), (4, 4)]
np.testing.assert_array_equal(plane[8:16, 24:32], held[0][1, 3])
""",
    ),
    "watermark": (
        [],
        """
calls, original = [], jpeg

def jpeg(marked, quality):
    calls.append((marked.detach(), quality, original(marked, quality)))
    return calls[-1][-1]

torch.manual_seed(0)
images = torch.from_numpy(np.stack([ORIGINALS[name] for name in sorted(ORIGINALS)])).permute(0, 3, 1, 2)
losses = [float(step(images.to(device) / 255)) for _ in range(80)]
assert np.mean(losses[-10:]) < np.mean(losses[:10]) - 0.05, losses
assert all(parameter.grad.abs().sum() > 0 for parameter in encoder.parameters())
marked, qualities, received = calls[-1]
assert len(set(qualities.tolist())) > 1
for image, quality, found in zip(marked.cpu(), qualities.tolist(), received.detach().cpu()):
    file = io.BytesIO()
    pixels = (255 * image + 0.5).byte().permute(1, 2, 0).numpy()  # ties go up
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    np.testing.assert_array_equal((255 * found).round().byte().permute(1, 2, 0).numpy(), np.asarray(Image.open(file)))
""",
    ),
    "learn": (
        [],
        """
assert losses[-1] < losses[0], losses
assert luma != TABLES[0] and chroma != TABLES[1:]
assert nnjpeg.QTable.load("luma.txt") == luma
same([(255 * layer(batch[:1])[0].detach()).round().byte().permute(1, 2, 0)], [np.asarray(Image.open("learned.jpg"))])
""",
    ),
    "detector": (
        [],
        """
def by_pillow(image, **options):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", **options)
    return np.asarray(Image.open(file))

images = [ORIGINALS[name] for name in sorted(ORIGINALS)]
torch.manual_seed(0)
found = [np.asarray(image.permute(1, 2, 0)) for image, _ in data]
torch.manual_seed(0)
drawn = [(draw(30, 101), SUBSAMPLINGS[draw(0, 3)]) for _ in images]
assert {subsampling for _, subsampling in drawn} == set(SUBSAMPLINGS)
same(found, [by_pillow(image, quality=q, subsampling=s) for image, (q, s) in zip(images, drawn)])

files = sorted(Path("camera").glob("*.jpg"))
torch.manual_seed(0)
found = [as_photograph(Image.fromarray(image)) for image in images]
torch.manual_seed(0)
drawn = [Image.open(files[draw(0, len(files))]) for _ in images]
assert len(drawn) > len({image.filename for image in drawn}) > 1
options = [{"qtables": image.quantization, "subsampling": get_sampling(image)} for image in drawn]
same(found, [by_pillow(image, **one) for image, one in zip(images, options)])
""",
    ),
    "zarr": (
        ["zarr", "numcodecs"],
        """
for path in ("images.zarr", "images2.zarr"):
    same(zarr.open_array(path)[:], nnjpeg.roundtrip(images, NN_TABLE.at_quality(70)))
for chunk in (Path("images.zarr/c/5/0/0/0"), Path("images2.zarr/5.0.0.0")):
    assert Image.open(chunk).format == "JPEG"
""",
    ),
}


@pytest.fixture
def folder(tmp_path, photos):
    """Eight images of 64x64 in four classes, in files and in a tar file; and JPEG files of several settings."""
    (tmp_path / "camera").mkdir()
    for k, name in enumerate(sorted(photos)):
        options = {"quality": 60 + 9 * k, "subsampling": ("4:4:4", "4:2:2", "4:2:0", "4:2:0")[k]}
        Image.fromarray(photos[name]).save(tmp_path / "camera" / f"{k}.jpg", **options)
    for name in sorted(photos):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for k in range(2):
            image = photos[name][100 + k : 164 + k, 60 * k : 64 + 60 * k]
            Image.fromarray(image).save(tmp_path / "photos" / name / f"{k}.png")
    subprocess.run(["tar", "-cf", "../photos.tar", *sorted(photos)], cwd=tmp_path / "photos", check=True)
    return tmp_path


def test_every_recipe_is_checked():
    assert sorted(name for name, _ in BLOCK.findall(RECIPES.read_text())) == sorted(CHECKS)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECKS)
def test_recipe(name, folder):
    packages, check = CHECKS[name]
    for package in packages:
        if not installed(package):
            pytest.skip(f"{package} is not installed")
    (code,) = [code for found, code in BLOCK.findall(RECIPES.read_text()) if found == name]
    program = folder / "recipe.py"
    indented = "\n".join(f"    {line}" for line in f"{PRELUDE}\n{code}\n{check}".splitlines())
    program.write_text(f"if __name__ == '__main__':\n{indented}\n    print('all the same')\n")
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HF_HOME": str(folder / "hf"),
        "HF_HUB_OFFLINE": "1",
        "NO_ALBUMENTATIONS_UPDATE": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    result = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, timeout=300, cwd=folder, env=environment
    )
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
    assert result.stdout.endswith("all the same\n")


def installed(package):
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False
