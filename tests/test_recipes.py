"""docs/recipes.md, run: each recipe in a process of its own, with the real library, and compared sample by sample."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

RECIPES = Path(__file__).parent.parent / "docs/recipes.md"
BLOCK = re.compile(r"^<!-- recipe: (\w+) -->\n```python\n(.*?)^```$", re.S | re.M)

pytestmark = pytest.mark.skipif(not RECIPES.exists(), reason="the documentation is not here")

PRELUDE = """
import sys
from pathlib import Path
import numpy as np
from PIL import Image
import nnjpeg
from nnjpeg import NN_TABLE

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
    """Eight images of 64x64 in four classes, in files and in a tar file."""
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
