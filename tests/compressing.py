"""Folders of images that tests of nnjpeg compress share: fixtures, which a test's module gives a name of its own."""

import pytest
from PIL import Image


@pytest.fixture
def folder(tmp_path, photos):
    """Two good images."""
    Image.fromarray(photos["chelsea"]).save(tmp_path / "cat.png")
    Image.fromarray(photos["chelsea"][..., 0]).save(tmp_path / "grey.png")
    return tmp_path


@pytest.fixture
def classes(tmp_path, photos):
    """Images in a folder for each class, with a name that has dots."""
    folder = tmp_path / "set"
    for name, image in photos.items():
        (folder / name).mkdir(parents=True)
        for k in range(3):
            Image.fromarray(image[k : k + 40, :50]).save(folder / name / f"{k}.v1.png")
    (folder / "notes.txt").write_text("no image")
    return folder
