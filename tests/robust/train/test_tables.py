"""Tables that are learned by gradient."""

import numpy as np
import pytest
import torch

from nnjpeg import QTable, ops
from nnjpeg.robust.attack.gradients import attack_images
from nnjpeg.robust.data import photos
from nnjpeg.robust.train.tables import learn, standard_tables

SIZES = {"epochs": 2, "batch": 16}


@pytest.fixture(scope="module")
def sets():
    both = photos("train", 84)
    return both.take(slice(0, 56)), both.take(slice(56, None))


def objective(history):
    return [row["objective"] for row in history]


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({"tables": "luma-chroma"}, 3),
        ({"tables": "one", "colorspace": "rgb", "subsampling": "4:4:4", "loss": "cross-entropy"}, 1),
        ({"tables": "component", "subsampling": "4:4:4", "optimize": True, "gradient": "cubic"}, 3),
    ],
)
def test_the_objective_falls(model, sets, options, count):
    grads = [one.requires_grad for one in model.parameters()]
    found = learn(model, *sets, weight=3.0, **options, **SIZES)
    assert len(found.tables) == count
    values = objective(found.history)
    assert min(values) < 0.95 * values[0]
    assert [one.requires_grad for one in model.parameters()] == grads
    if options["tables"] == "luma-chroma":
        assert found.tables[1] == found.tables[2] != found.tables[0]


def test_the_history_tells_of_the_tables_that_are_found(model, sets):
    """Bits and divergence of whole files, by other code."""
    found = learn(model, *sets, weight=3.0, **SIZES)
    images, coding = sets[1].pixels, {"colorspace": "ycbcr", "subsampling": "4:2:0"}
    table = torch.from_numpy(np.stack([np.asarray(one) for one in found.tables])).to(torch.uint8)[None]
    bits = ops.rate(images, table, **coding).mean().item() / 64**2
    with torch.no_grad():
        p = model(images / 255).softmax(1)
        q = model(ops.roundtrip(images, table, **coding) / 255).softmax(1)
    lost = (p * (p / q).log()).sum(1).mean().item()
    best = min(found.history, key=lambda row: row["objective"])
    assert best["bits"] == pytest.approx(bits)
    assert best["lost"] == pytest.approx(lost, abs=1e-5)
    assert best["objective"] == pytest.approx(best["bits"] + 3 * best["lost"])


def test_it_learns_against_adversarial_images(model, sets):
    attacked = tuple(attack_images(model, one, "fgsm", 8 / 255) for one in sets)
    options = {"tables": "one", "colorspace": "rgb", "subsampling": "4:4:4", "attacked": attacked, "lr": 0.3} | SIZES
    coarser = learn(model, *sets, weight=0.01, start=75, **options)  # the defence counts alone
    finer = learn(model, *sets, weight=1000.0, start=10, **options)  # the loss counts alone
    for found, sign in ((coarser, 1), (finer, -1)):
        values = objective(found.history)
        assert min(values) < 0.98 * values[0]
        (start,) = standard_tables("rgb", 75 if found is coarser else 10)
        assert sign * np.log(found.tables[0].steps / start.steps).mean() > 0.1
        best = min(found.history, key=lambda row: row["objective"])
        table = torch.from_numpy(np.asarray(found.tables[0])).to(torch.uint8)
        with torch.no_grad():
            logits = model(ops.roundtrip(attacked[1].pixels, table) / 255)
        expected = torch.nn.functional.cross_entropy(logits, sets[1].labels).item()
        assert best["attacked"] == pytest.approx(expected, abs=1e-5)
        weight = 0.01 if found is coarser else 1000
        assert best["objective"] == pytest.approx(best["attacked"] + weight * best["lost"])
    with pytest.raises(ValueError, match="attacked must have an image for each original, got 28 for 56"):
        learn(model, *sets, weight=1.0, attacked=attacked[::-1])


def test_what_the_network_loses_is_worth_bits(model, sets):
    cheap, dear = (learn(model, *sets, weight=weight, **SIZES) for weight in (0.01, 1000.0))
    assert cheap.history[-1]["bits"] < dear.history[-1]["bits"]


def test_it_is_deterministic_and_goes_on_where_it_was_stopped(model, sets, tmp_path, monkeypatch):
    path = tmp_path / "state.safetensors"
    expected = learn(model, *sets, weight=3.0, **SIZES)
    from nnjpeg.robust.train import tables

    class Stopped(Exception):
        pass

    write = tables._State.write

    def write_and_stop(self, *arguments):
        write(self, *arguments)
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(tables._State, "write", write_and_stop)
        with pytest.raises(Stopped):
            learn(model, *sets, weight=3.0, path=path, **SIZES)
    found = learn(model, *sets, weight=3.0, path=path, **SIZES)
    assert found == expected
    assert learn(model, *sets, weight=3.0, path=path, **SIZES) == expected
    with pytest.raises(ValueError, match="is of something else"):
        learn(model, *sets, weight=4.0, path=path, **SIZES)
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="is damaged"):
        learn(model, *sets, weight=3.0, path=path, **SIZES)


def test_it_ends_without_progress_and_keeps_the_start(model, sets):
    found = learn(model, *sets, weight=1e6, start=100, lr=3.0, patience=1, epochs=9, batch=16)
    assert len(found.history) == 2
    assert found.tables == standard_tables("ycbcr", 100)


def test_standard_tables():
    luma, chroma = QTable.standard_luminance(), QTable.standard_chrominance()
    assert standard_tables("ycbcr", 50) == (luma, chroma, chroma)
    assert standard_tables("rgb", 75) == (luma.at_quality(75),)


def test_a_model_without_a_gradient_is_refused(sets):
    class Detached(torch.nn.Module):
        def forward(self, x):
            return x.mean((2, 3)).detach()

    with pytest.raises(ValueError, match="model: its outputs have no gradient by the image"):
        learn(Detached(), *sets, weight=1.0)
