"""Images to train on and to judge by, whatever they are kept in."""

import io
import json
import pickle
import tarfile

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from torch.utils.data import DataLoader

from nnjpeg.robust import data, models
from nnjpeg.robust.data.photos import _stripes
from nnjpeg.robust.train.objectives import Draws

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
LABELS = np.arange(12) % 3


# photos


def test_photos_train_and_test_never_overlap():
    for name in data.PHOTOS:
        photo = getattr(skimage.data, name)()
        stripes = {split: _stripes(name, split) for split in ("train", "test")}
        assert all(stripe.shape[1] >= 100 for both in stripes.values() for stripe in both)
        assert sum(stripe.shape[1] for both in stripes.values() for stripe in both) == photo.shape[1]
        assert not any(np.shares_memory(a, b) for a in stripes["train"] for b in stripes["test"])


def test_photos_are_a_value():
    a, b, other = (data.photos("train", 30, seed=s) for s in (1, 1, 2))
    assert torch.equal(a.pixels, b.pixels)
    assert not torch.equal(a.pixels, other.pixels)
    assert a.pixels.shape == (30, 3, 64, 64)
    assert len(set(a.labels.tolist())) == len(data.PHOTOS)


# Folders


def save(path, mode="RGB", size=(40, 30), value=90):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode in ("L", "RGB") else 0).save(path)


def as_bytes(image):
    return torch.from_numpy(np.array(image.resize((16, 16)))).permute(2, 0, 1)


def test_folder_takes_what_it_can_and_names_the_rest(tmp_path, capsys):
    save(tmp_path / "cats/grey.png", "L")
    save(tmp_path / "cats/ink.jpg", "CMYK")
    save(tmp_path / "dogs/ok.png")
    save(tmp_path / "dogs/tiny.png", size=(40, 7))
    (tmp_path / "dogs/broken.jpg").write_bytes(b"\xff\xd8\xff not really")
    (tmp_path / "dogs/notes.txt").write_text("not an image")
    images = data.sample(data.opened(tmp_path), 3, as_bytes)
    assert len(images) == 3
    assert images.pixels.shape == (3, 3, 16, 16)
    assert sorted(images.labels.tolist()) == [0, 0, 1]
    everything = [data.sample(data.opened(tmp_path), 3, as_bytes, seed=seed).skipped for seed in range(8)]
    skipped = {line.split(": ")[0].rpartition("/")[2] for lines in everything for line in lines}
    assert skipped == {"tiny.png", "broken.jpg"}
    assert len(data.sample(data.opened(tmp_path), 4, as_bytes, at_least=2)) == 3
    with pytest.raises(ValueError, match=r"4 images are needed of .* which has 3 usable ones; 2 were skipped"):
        data.sample(data.opened(tmp_path), 4, as_bytes)


def test_images_that_are_enlarged_are_counted(tmp_path, capsys):
    for number, side in enumerate((64, 64, 300)):
        save(tmp_path / f"class{number}/a.png", size=(side, side + 10))
    model = models.Classifier(torch.nn.Identity(), size=224)
    data.sample(data.opened(tmp_path), 3, model.preprocess())
    assert "2 of 3 images are smaller than the model's 224x224 pixels and were enlarged" in capsys.readouterr().out
    model = models.Classifier(torch.nn.Identity(), size=64, resize=64)
    data.sample(data.opened(tmp_path), 3, model.preprocess())
    assert "enlarged" not in capsys.readouterr().out


def test_folders_that_will_not_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        data.sample(data.opened(tmp_path / "nothing"), 1, as_bytes)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no folders of images"):
        data.sample(data.opened(tmp_path / "empty"), 1, as_bytes)
    (tmp_path / "empty/class").mkdir()
    with pytest.raises(ValueError, match="holds no images"):
        data.sample(data.opened(tmp_path / "empty"), 1, as_bytes)
    save(tmp_path / "one/class/a.png")
    with pytest.raises(ValueError, match="holds one class alone"):
        data.sample(data.opened(tmp_path / "one"), 1, as_bytes)
    save(tmp_path / "one/other/a.png")
    with pytest.raises(ValueError, match="2 classes for a model of 1 outputs"):
        data.sample(data.opened(tmp_path / "one"), 1, as_bytes, outputs=1)


def test_wordnet_names_get_imagenets_numbers():
    assert data.class_map(["n01440764", "n01484850", "n15075141"], 1000) == [0, 2, 999]
    assert data.class_map(["n01440764", "n01484850"], 10) == [0, 1]
    with pytest.raises(ValueError, match="n99999999 is no class"):
        data.class_map(["n01440764", "n99999999"], 1000)


# Other places than folders


def arrays_of(source):
    """All pixels and labels, in the source's order."""
    read = [source.read(index) for index in range(len(source))]
    return np.stack([np.asarray(image) for image, _ in read]), np.array([label for _, label in read])


def assert_holds(source, pixels, labels):
    found, numbers = arrays_of(source)
    np.testing.assert_array_equal(found, pixels)
    np.testing.assert_array_equal(numbers, labels)
    again = pickle.loads(pickle.dumps(source))  # as workers that are spawned get it
    np.testing.assert_array_equal(arrays_of(again)[0], pixels)


def test_arrays_of_both_splits(tmp_path):
    path = tmp_path / "c.npz"
    np.savez(path, x_train=PIXELS[:8], y_train=LABELS[:8, None], x_test=PIXELS[8:], y_test=LABELS[8:].astype(np.uint8))
    assert data.has_splits(path)
    assert_holds(data.opened(path, "train"), PIXELS[:8], LABELS[:8])
    test = data.opened(path, "test")
    assert_holds(test, PIXELS[8:], LABELS[8:])
    assert (test.side, test.classes) == (32, ("0", "1", "2"))
    assert data.opened(path, "test", dataset="cifar10").classes[:3] == ("airplane", "automobile", "bird")
    images = data.sample(test, None, lambda image: torch.from_numpy(np.array(image)).permute(2, 0, 1), seed=None)
    np.testing.assert_array_equal(images.pixels.permute(0, 2, 3, 1).numpy(), PIXELS[8:])


@pytest.mark.parametrize("pixels", [PIXELS, PIXELS.transpose(0, 3, 1, 2), PIXELS[..., 0]])
def test_arrays_of_one_split(pixels, tmp_path):
    path = tmp_path / "one.npz"
    np.savez(path, images=pixels, labels=LABELS)
    assert not data.has_splits(path)
    expected = np.repeat(PIXELS[..., :1], 3, axis=3) if pixels.ndim == 3 else PIXELS
    assert_holds(data.opened(path), expected, LABELS)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": PIXELS / 255, "y": LABELS}, "must be uint8 .* got float64 of shape"),
        ({"x": PIXELS[..., :2], "y": LABELS}, "must have 3 components, got shape"),
        ({"x": PIXELS, "y": LABELS[:-1]}, "must be 12 whole numbers from 0 on, got int64 of shape"),
        ({"x": PIXELS, "y": LABELS / 2}, "must be 12 whole numbers"),
        ({"x": PIXELS, "y": LABELS - 1}, "must be 12 whole numbers"),
        ({"x": PIXELS}, "must hold x_train, y_train, x_test and y_test, or x and y; it holds x"),
    ],
)
def test_arrays_that_will_not_do(arrays, message, tmp_path):
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        data.opened(tmp_path / "bad.npz")


def test_files_that_are_not_what_their_names_say(tmp_path):
    for name, message in (("a.npz", "is not a file of arrays"), ("a.tar", "is not a tar file of images and labels")):
        (tmp_path / name).write_bytes(b"something else")
        with pytest.raises(ValueError, match=message):
            data.opened(tmp_path / name)
        with pytest.raises(FileNotFoundError, match=f"there is no .*none{name[1:]}"):
            data.opened(tmp_path / f"none{name[1:]}")


def test_folders_of_both_splits(tmp_path):
    for index, (pixels, label) in enumerate(zip(PIXELS, LABELS, strict=True)):
        path = tmp_path / ("train" if index < 8 else "val") / f"class{label}" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    assert data.has_splits(tmp_path)
    order = np.argsort(LABELS[:8], kind="stable")
    assert_holds(data.opened(tmp_path, "train"), PIXELS[:8][order], LABELS[:8][order])
    assert len(data.opened(tmp_path, "test")) == 4
    assert not data.has_splits(tmp_path / "train")


def cifar(root):
    """What torchvision wants of CIFAR-10, but for its checksums."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir()
    for number, name in enumerate([*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]):
        rows = PIXELS[2 * number : 2 * number + 2].transpose(0, 3, 1, 2).reshape(2, -1)
        content = {"data": rows, "labels": LABELS[2 * number : 2 * number + 2].tolist()}
        (folder / name).write_bytes(pickle.dumps(content))
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": names}))


def test_cifar_as_torchvision_keeps_it(tmp_path, monkeypatch):
    from torchvision.datasets import CIFAR10

    with pytest.raises(FileNotFoundError, match="does not hold cifar10 as torchvision keeps it; --download fetches it"):
        data.opened(tmp_path, "test", dataset="cifar10")
    cifar(tmp_path)
    monkeypatch.setattr(CIFAR10, "_check_integrity", lambda self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    assert data.has_splits(tmp_path, "cifar10")
    assert_holds(data.opened(tmp_path, "train", dataset="cifar10"), PIXELS[:10], LABELS[:10])
    test = data.opened(tmp_path, "test", dataset="cifar10")
    assert_holds(test, PIXELS[10:], LABELS[10:])
    assert (test.side, test.classes[9]) == (32, "truck")
    with pytest.raises(ValueError, match=r"dataset must be one of cifar10, cifar100, .* got 'imagenet'"):
        data.opened(tmp_path, "test", dataset="imagenet")


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def shard(path, samples):
    with tarfile.open(path, "w") as archive:
        for name, content in samples:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def test_webdataset_shards(tmp_path):
    for number in range(2):
        samples = []
        for index in range(6 * number, 6 * number + 6):
            label = str(LABELS[index]).encode()
            label = json.dumps({"label": int(LABELS[index])}).encode() if index % 2 else label
            samples += [
                (f"a/{index:05d}.png", png(PIXELS[index])),
                (f"a/{index:05d}.{'json' if index % 2 else 'cls'}", label),
            ]
        shard(tmp_path / f"train-{number}.tar", [*samples, ("a/99999.png", png(PIXELS[0])), ("README", b"x")])
    source = data.opened(tmp_path / "train-*.tar")
    assert_holds(source, PIXELS, LABELS)
    assert source.place(7) == f"a/00007 of {tmp_path}/train-1.tar"
    assert len(data.opened(tmp_path / "train-0.tar")) == 6
    shard(tmp_path / "none.tar", [("a.txt", b"x")])
    with pytest.raises(ValueError, match="holds no images with labels"):
        data.opened(tmp_path / "none.tar")


def test_shards_are_what_webdataset_reads(tmp_path):
    webdataset = pytest.importorskip("webdataset")
    with webdataset.TarWriter(str(tmp_path / "w.tar")) as writer:
        for index, (pixels, label) in enumerate(zip(PIXELS, LABELS, strict=True)):
            writer.write({"__key__": f"{index:03d}", "png": png(pixels), "cls": int(label)})
    assert_holds(data.opened(tmp_path / "w.tar"), PIXELS, LABELS)


def test_data_sets_of_hugging_face(tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"img": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b", "c"])})

    def rows(part):
        pictures = [Image.fromarray(pixels) for pixels in PIXELS[part]]
        return datasets.Dataset.from_dict({"img": pictures, "label": LABELS[part].tolist()}, features=features)

    rows(slice(None)).save_to_disk(str(tmp_path / "one"))
    whole = data.opened(tmp_path / "one")
    assert_holds(whole, PIXELS, LABELS)
    assert whole.classes == ("a", "b", "c")
    both = datasets.DatasetDict({"train": rows(slice(8)), "test": rows(slice(8, None))})
    both.save_to_disk(str(tmp_path / "both"))
    assert data.has_splits(tmp_path / "both")
    assert_holds(data.opened(tmp_path / "both", "train"), PIXELS[:8], LABELS[:8])
    assert_holds(data.opened(tmp_path / "both", "test"), PIXELS[8:], LABELS[8:])


# Training


@pytest.mark.parametrize("workers", [0, 2])
def test_training_reads_random_crops(workers, tmp_path):
    np.savez(tmp_path / "one.npz", x=PIXELS, y=LABELS)
    dataset = data.Training(data.opened(tmp_path / "one.npz"), data.random_crops(24), outputs=3)
    images, labels = next(iter(DataLoader(dataset, 12, num_workers=workers)))
    assert images.shape == (12, 3, 24, 24)
    assert images.dtype == torch.uint8
    np.testing.assert_array_equal(labels, LABELS)
    with pytest.raises(ValueError, match="3 classes for a model of 2 outputs"):
        data.Training(data.opened(tmp_path / "one.npz"), data.random_crops(24), outputs=2)


def test_images_are_shifted_and_mirrored():
    """Every result is one of the 2 x 9 x 9 that there can be, and all of them come."""
    image = torch.from_numpy(PIXELS[0]).permute(2, 0, 1)[:, :6, :7]
    padded = torch.nn.functional.pad(image, (4,) * 4)
    possible = {}
    for y in range(9):
        for x in range(9):
            crop = padded[:, y : y + 6, x : x + 7]
            possible[crop.numpy().tobytes()] = possible[crop.flip(2).numpy().tobytes()] = (y, x)
    result = data.shifted_and_mirrored()(image.expand(4000, 3, 6, 7), Draws((0,)))
    assert result.dtype == torch.float32
    found = {(255 * one).round().byte().numpy().tobytes() for one in result}
    assert found == set(possible)


def test_a_shift_of_nothing_mirrors_alone():
    images = torch.from_numpy(PIXELS).permute(0, 3, 1, 2)
    result = (255 * data.shifted_and_mirrored(0)(images, Draws((0,)))).round().byte()
    mirrored = (result == images.flip(3)).all((1, 2, 3))
    assert 0 < mirrored.sum() < 12
    assert torch.equal(result[~mirrored], images[~mirrored])
    with pytest.raises(ValueError, match="padding must be at least 0, got -1"):
        data.shifted_and_mirrored(-1)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"pixels": torch.zeros(2, 3, 8, 8)}, TypeError, "pixels must be uint8 and labels int64, got torch.float32"),
        (
            {"labels": torch.zeros(2)},
            TypeError,
            "pixels must be uint8 and labels int64, got torch.uint8 and torch.float32",
        ),
        ({"pixels": torch.zeros(2, 8, 8, 3, dtype=torch.uint8)}, ValueError, r"of shape \(N, 3, H, W\), got \(2, 8"),
        ({"labels": torch.tensor([1])}, ValueError, r"labels must be of shape \(2,\), got \(1,\)"),
        ({"sources": torch.tensor([1, 2, 3])}, ValueError, r"sources must be of shape \(2,\), got \(3,\)"),
    ],
)
def test_images_and_labels_that_do_not_fit(given, error, message):
    fitting = {"pixels": torch.zeros(2, 3, 8, 8, dtype=torch.uint8), "labels": torch.tensor([0, 1])}
    assert len(data.Images(**fitting, classes=("a", "b"))) == 2
    with pytest.raises(error, match=message):
        data.Images(**{**fitting, **given}, classes=("a", "b"))
