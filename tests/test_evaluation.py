"""Attacks that do what they say, defences that are what they say, and the tables made of both."""

import io
import itertools
import json
import re
from pathlib import Path

import foolbox
import numpy as np
import pandas
import pytest
import safetensors.torch
import scipy.fft
import scipy.ndimage
import torch
from PIL import Image
from torch import nn

from nnjpeg import NN_TABLE, QTable
from nnjpeg.cli import main
from nnjpeg.robust import attacks, checkpoints, data, defences, fitting, minimal
from nnjpeg.robust.checklist import checklist
from nnjpeg.robust.ensemble import Ensemble
from nnjpeg.robust.evaluation import Attack, assess, behind, beside, gray_box, with_gradient, worst_case
from nnjpeg.robust.frequency import FrequencyStatistics
from nnjpeg.robust.scores import accuracy, right, well_labelled
from nnjpeg.robust.square import square


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two models that were trained a little: they label most patches right."""
    path = tmp_path_factory.mktemp("weights")
    fitting.photos_model(path / "m.safetensors", patches=896, epochs=4)
    fitting.photos_model(path / "other.safetensors", arch="plain", patches=448, epochs=2)
    return path


@pytest.fixture(scope="module")
def model(folder):
    return checkpoints.load(folder / "m.safetensors")[0]


@pytest.fixture(scope="module")
def benign():
    return data.photos("test", 280)


@pytest.fixture(scope="module")
def originals(model, benign):
    return well_labelled(model, benign, 48)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def left(model, adversarial, labels):
    with torch.no_grad():
        return (model(adversarial).argmax(1) == labels).float().mean().item()


# Attacks


LINF = {
    "fgsm": attacks.fgsm,
    "ifgsm": attacks.ifgsm,
    "pgd": lambda m, x, y, eps: attacks.pgd(m, x, y, eps, steps=20, step=eps / 5),
    "tifgsm": attacks.tifgsm,
    "difgsm": attacks.difgsm,
    "square": lambda m, x, y, eps: square(m, x, y, eps, queries=300),
}


@pytest.mark.parametrize("name", LINF)
@pytest.mark.parametrize("eps", [2 / 255, 16 / 255])
def test_attacks_stay_in_the_ball(model, originals, name, eps):
    x, y = originals.pixels[:12] / 255, originals.labels[:12]
    adversarial = LINF[name](model, x, y, eps)
    assert (adversarial - x).abs().max() <= eps + 1e-6
    assert 0 <= adversarial.min() <= adversarial.max() <= 1
    assert (adversarial != x).any()
    assert not adversarial.requires_grad


def test_a_large_eps_breaks_the_undefended_model(model, originals):
    x, y = originals.pixels / 255, originals.labels
    assert left(model, x, y) == 1
    assert left(model, attacks.pgd(model, x, y, 64 / 255, steps=40, step=8 / 255), y) <= 0.03
    assert left(model, attacks.ifgsm(model, x, y, 64 / 255, steps=40), y) <= 0.05
    assert left(model, square(model, x[:24], y[:24], 64 / 255, queries=400), y[:24]) <= 0.6
    assert left(model, minimal.deepfool(model, x[:8], y[:8]), y[:8]) == 0
    assert left(model, minimal.carlini_wagner(model, x[:8], y[:8], steps=60), y[:8]) == 0
    assert left(model, attacks.bpda(model, x[:16], y[:16], eps=20.0, steps=150, rate=50.0), y[:16]) <= 0.1


def test_iterations_beat_a_single_step(model, originals):
    x, y = originals.pixels / 255, originals.labels
    for eps in (4 / 255, 8 / 255):
        one = left(model, attacks.fgsm(model, x, y, eps), y)
        many = left(model, attacks.pgd(model, x, y, eps, steps=20, step=eps / 5), y)
        assert many <= one
        assert left(model, attacks.pgd(model, x, y, eps, steps=20, step=eps / 5, loss="margin"), y) <= one + 0.05


def test_ours_agree_with_foolboxs(model, originals):
    """The same steps from the same start are the same attack; random starts differ by sampling error."""
    x, y, eps = originals.pixels / 255, originals.labels, 6 / 255
    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    theirs, _, _ = foolbox.attacks.LinfFastGradientAttack()(wrapped, x, y, epsilons=eps)
    ours = attacks.fgsm(model, x, y, eps)
    assert ((ours - theirs).abs() < 1e-6).float().mean() > 0.999
    bim = foolbox.attacks.LinfBasicIterativeAttack(abs_stepsize=eps / 10, steps=10, random_start=False)
    theirs, _, _ = bim(wrapped, x, y, epsilons=eps)
    assert abs(left(model, theirs, y) - left(model, attacks.ifgsm(model, x, y, eps), y)) <= 0.03
    pgd = foolbox.attacks.LinfPGD(abs_stepsize=eps / 5, steps=20)
    theirs, _, _ = pgd(wrapped, x, y, epsilons=eps)
    assert abs(left(model, theirs, y) - left(model, attacks.pgd(model, x, y, eps, 20, eps / 5), y)) <= 0.1


def test_targeted_attacks_go_where_they_are_told(model, originals):
    keep = originals.labels != 2
    x, y = originals.pixels[keep] / 255, originals.labels[keep]
    loss = attacks.towards(torch.tensor(2))
    adversarial = attacks.pgd(model, x, y, 32 / 255, steps=40, step=3 / 255, loss=loss)
    with torch.no_grad():
        assert (model(adversarial).argmax(1) == 2).float().mean() > 0.6


def test_the_smoothed_gradient_is_a_convolution(model, originals):
    x, y, eps = originals.pixels[:4] / 255, originals.labels[:4], 4 / 255
    kernel = attacks.gaussian(15, 3.0)
    assert kernel.sum().item() == pytest.approx(1)
    assert kernel[7, 7] / kernel[7, 10] == pytest.approx(np.exp(0.5), rel=1e-5)  # 3 pixels are one sigma
    slope = attacks.gradient(model, x, y).numpy()
    smooth = np.stack([[scipy.ndimage.convolve(c, kernel.numpy(), mode="constant") for c in image] for image in slope])
    step = (attacks.tifgsm(model, x, y, eps) - x).numpy()
    inside = (np.abs(step) > 0.99 * eps) & (np.abs(smooth) > 1e-3 * np.abs(smooth).max())
    assert inside.mean() > 0.5
    assert (np.sign(step) == np.sign(smooth))[inside].all()


def test_diverse_inputs_are_enlarged_and_padded(originals):
    seen = []

    def spy(images):
        seen.append(images.shape[-1])
        return images.mean((2, 3))

    x, y = originals.pixels[:2] / 255, torch.zeros(2, dtype=torch.long)
    attacks.difgsm(spy, x, y, 0.05, steps=60, generator=torch.Generator().manual_seed(0))
    assert set(seen) == {64, 71}  # 64 * 330 / 299
    assert 15 < seen.count(71) < 45


def test_bpda_beats_a_zero_gradient(model, originals):
    """Behind a step function the true gradient is 0, and an attack that follows it moves nowhere."""
    x, y = originals.pixels[:24] / 255, originals.labels[:24]
    open_ = behind(model, 50)
    eps = 16 / 255
    with with_gradient(open_, "none"), pytest.raises(RuntimeError):
        attacks.gradient(open_, x, y)  # there is none at all
    kept = left(open_, x, y)
    attacked = left(open_, attacks.pgd(open_, x, y, eps, steps=20, step=eps / 5), y)
    assert attacked < kept - 0.3
    with with_gradient(open_, "cubic"):
        cubic = attacks.pgd(open_, x, y, eps, steps=20, step=eps / 5)
    assert left(open_, cubic, y) < kept - 0.3
    published = attacks.bpda(open_, x, y, eps=10.0, steps=100, rate=2.0)
    assert (published - x).flatten(1).norm(dim=1).max() <= 10 + 1e-4
    assert left(open_, published, y) < kept - 0.3


def test_expectation_averages_over_draws():
    class Coin(nn.Module):
        """Half of the time its gradient points the other way, three times less steeply."""

        def __init__(self):
            super().__init__()
            self.calls = 0

        def forward(self, x):
            self.calls += 1
            score = x.mean((1, 2, 3)) * (3.0 if self.calls % 2 else -1.0)
            return torch.stack([score, -score], 1)

    x, y = torch.full((1, 3, 8, 8), 0.5), torch.zeros(1, dtype=torch.long)
    coin = Coin()
    mean = attacks.gradient(coin, x, y, attacks.margin, samples=10)
    assert coin.calls == 10
    torch.testing.assert_close(mean, torch.full_like(x, -2 * (3 - 1) / 2 / 192))


def test_the_members_loss_is_the_mean_of_theirs(model, originals):
    members = [nn.Sequential(nn.Flatten(), nn.Linear(12, 3)) for _ in range(3)]
    together = Ensemble([(one, None) for one in members])
    x, y = torch.rand(2, 3, 2, 2), torch.tensor([0, 2])
    expected = torch.stack([attacks.cross_entropy(one(x), y) for one in members]).mean(0)
    torch.testing.assert_close(attacks.LOSSES["members"](together.members(x), y), expected)
    pixels, labels = originals.pixels[:12] / 255, originals.labels[:12]
    twice = Ensemble([(model, None), (behind(model, 50), None)])
    found = attacks.pgd(twice, pixels, labels, 16 / 255, 20, 4 / 255, restarts=2, loss="members")
    assert left(twice, found, labels) <= left(twice, pixels, labels) - 0.3
    with pytest.raises(TypeError, match="'members' is for an Ensemble"):
        attacks.pgd(model, pixels, labels, 16 / 255, loss="members")


def test_towards_the_next_class():
    logits, labels = torch.rand(4, 3), torch.tensor([0, 1, 2, 2])
    torch.testing.assert_close(
        attacks.LOSSES["targeted"](logits, labels), -attacks.cross_entropy(logits, torch.tensor([1, 2, 0, 0]))
    )


def test_rounding_undoes_minimal_perturbations_and_scaling_brings_them_back(model, originals):
    x, y = originals.pixels[:24] / 255, originals.labels[:24]
    adversarial = minimal.deepfool(model, x, y)
    rounded = attacks.to_bytes(adversarial)
    scaled = minimal.survive_rounding(model, x, adversarial, y)
    assert scaled.dtype == torch.uint8
    assert left(model, adversarial, y) <= left(model, rounded / 255, y)
    assert left(model, scaled / 255, y) == 0
    already = model(rounded / 255).argmax(1) != y
    assert torch.equal(scaled[already], rounded[already])


# Defences


def test_jpeg_is_pillows(originals):
    for pixels, ours in zip(originals.pixels[:4], defences.pillow_jpeg(originals.pixels[:4], 60), strict=True):
        file = io.BytesIO()
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(file, "JPEG", quality=60)
        assert np.array_equal(ours.permute(1, 2, 0).numpy(), np.asarray(Image.open(file)))


def test_feature_distillation_is_its_formula(originals):
    pixels = originals.pixels[:3]
    steps = np.full((8, 8), 30.0)
    steps[:4, :4] = 25
    blocks = pixels.numpy().reshape(3, 3, 8, 8, 8, 8).astype(float)  # N, C, row, y, column, x
    coefficients = scipy.fft.dctn(blocks, axes=(3, 5), norm="ortho")
    quantized = np.rint(coefficients / steps[:, None, :]) * steps[:, None, :]
    expected = scipy.fft.idctn(quantized, axes=(3, 5), norm="ortho").reshape(3, 3, 64, 64).clip(0, 255)
    result = defences.feature_distillation(pixels).numpy()
    assert (np.abs(result - expected) <= 0.51).mean() > 0.98  # single precision takes some ties the other way
    assert defences.feature_distillation(pixels[..., :61, :50]).shape == (3, 3, 61, 50)


def test_local_quantization_takes_each_patch_from_one_quality(originals, generator):
    pixels = originals.pixels[:3, :, :60, :52]
    result = defences.local_quantization(pixels, (20, 80), generator)
    choices = [defences.jpeg(quality)(pixels) for quality in (20, 80)]
    taken = set()
    for n in range(3):
        for y in range(0, 60, 8):
            for x in range(0, 52, 8):
                patch = (n, slice(None), slice(y, y + 8), slice(x, x + 8))
                matches = [k for k, choice in enumerate(choices) if torch.equal(result[patch], choice[patch])]
                assert matches
                taken.update(matches if len(matches) == 1 else ())
    assert taken == {0, 1}


def test_bit_depth():
    ramp = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(1, 3, 16, 16)
    reduced = defences.bit_depth(ramp)
    assert reduced.unique().tolist() == [0, 36, 73, 109, 146, 182, 219, 255]
    assert (reduced.int() - ramp.int()).abs().max() <= 19
    assert torch.equal(defences.bit_depth(ramp, 8), ramp)


def test_deepn_steps_fall_with_deviation(benign):
    statistics = FrequencyStatistics.of([benign.pixels])
    table = np.asarray(defences.deepn_table(statistics))
    order = np.argsort(-statistics.deviations[3].ravel())
    steps = table.ravel()[order]
    assert (np.diff(steps) >= 0).all()
    assert (steps[0], steps[-1]) == (5, 100)


def test_tvm_smooths_and_keeps_what_it_knows(originals, generator):
    pixels = originals.pixels[:2]
    result = defences.tvm(pixels, generator=generator)

    def variation(x):
        x = x.float()
        return (x.diff(dim=2).abs().sum() + x.diff(dim=3).abs().sum()).item()

    assert variation(result) < 0.8 * variation(pixels)
    assert (result.int() - pixels.int()).abs().float().mean() < 20
    # What was dropped is near to what was kept: no pixel stays where it was first filled in.
    assert (result.int() - pixels.int()).abs().float().quantile(0.99) < 60
    faithful = defences.tvm(pixels, weight=1e-4, keep=1.0)
    assert (faithful.int() - pixels.int()).abs().max() <= 1


def test_quilting_takes_near_patches_of_others(originals, generator):
    photos = data.photos("train", 70).pixels
    quilting = defences.Quilting(photos, 5017, nearest=3, generator=generator)
    wanted = torch.rand(90, 75, generator=generator) * 255
    distance = ((wanted[:, None] - quilting.patches.float()) ** 2).sum(2)
    taken = distance.gather(1, quilting._near(wanted)[:, None])
    ranks = (distance < taken * (1 - 1e-4)).sum(1)
    assert ranks.bincount().min() > 10
    assert len(ranks.bincount()) == 3
    pixels = originals.pixels[:2, :, :61, :50]
    result = quilting(pixels)
    assert result.shape == pixels.shape
    assert 2 < (result.float() - pixels.float()).abs().mean() < 30
    # From its own patches an image is put together again; and every pixel is one of some patch's.
    own = defences.Quilting(pixels, 100_000, nearest=1)(pixels)
    assert (own.float() - pixels.float()).abs().mean() < 2
    flat = torch.full((1, 3, 9, 9), 7, dtype=torch.uint8)
    assert torch.equal(defences.Quilting(flat, 20)(originals.pixels[:1]).unique(), torch.tensor([7], dtype=torch.uint8))
    assert defences.Quilting(photos, 50)(pixels[..., :4, :3]).shape == (2, 3, 4, 3)
    with pytest.raises(ValueError, match="at least 5x5 pixels"):
        defences.Quilting(photos[..., :4])


def test_the_seam_is_the_cheapest(generator):
    error = torch.rand(20, 5, 3, generator=generator)
    taken = defences._seam(error)
    starts = 3 - taken.sum(2)
    assert (starts.diff(dim=1).abs() <= 1).all()
    cost = error.gather(2, starts[..., None]).sum((1, 2))
    paths = [p for p in itertools.product(range(3), repeat=5) if all(abs(a - b) <= 1 for a, b in itertools.pairwise(p))]
    every = torch.stack([error[:, range(5), list(path)].sum(1) for path in paths])
    torch.testing.assert_close(cost, every.amin(0))


def test_held_draws_repeat(model, originals):
    x = originals.pixels[:4] / 255
    random = defences.Defended(model, defences.local_quantization)
    held = defences.Held(random, seed=3)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    a = held(x)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(a, held(x))
    assert not torch.equal(a, defences.Held(random, seed=4)(x))
    assert attacks.gradient(held, x, originals.labels[:4]).abs().sum() > 0


def test_crop_rescale_averages_crops(model, originals):
    x = originals.pixels[:3] / 255
    whole = defences.CropRescale(model, crops=2, share=1.0)
    torch.testing.assert_close(whole(x), model(x).log_softmax(1), rtol=1e-4, atol=1e-5)
    torch.manual_seed(0)
    a = defences.CropRescale(model)(x)
    torch.testing.assert_close(a.exp().sum(1), torch.ones(3))
    assert not torch.equal(a, defences.CropRescale(model)(x))


def test_any_transform_of_bytes_is_attacked_straight_through(model, originals):
    x, y = originals.pixels[:8] / 255, originals.labels[:8]
    seen = []

    def darker(pixels):
        seen.append(pixels)
        return pixels // 2

    defended = defences.Defended(model, darker)
    slope = attacks.gradient(defended, x, y)
    assert seen[0].dtype == torch.uint8
    assert torch.equal(seen[0], originals.pixels[:8])
    half = (originals.pixels[:8] // 2) / 255
    torch.testing.assert_close(slope, attacks.gradient(model, half, y))
    for wrong in (lambda pixels: pixels.float(), lambda pixels: pixels[..., 1:], lambda pixels: None):
        with pytest.raises(TypeError, match="transform must return uint8"):
            defences.Defended(model, wrong)(x)


def test_the_named_defences_do_not_ruin_benign_images(model, benign):
    plain = accuracy(model, benign)
    for name, transform in defences.named(benign.pixels).items():
        share = accuracy(defences.Defended(model, transform), benign.take(slice(0, 140)))
        assert share > plain - 0.25, name


# Tables


def test_worst_case_is_image_by_image():
    kinds = (("benign", "1111", False), ("a", "1100", True), ("b", "0110", True), ("c", "0000", False))
    rows = [
        {"scenario": "s", "defence": "d", "attack": attack, "hits": hits, "bounded": bounded, "right": 0, "images": 4}
        for attack, hits, bounded in kinds
    ]  # fmt: skip
    last = worst_case(pandas.DataFrame(rows)).iloc[-1]
    assert (last["attack"], last["hits"], last["right"], last["accuracy"]) == ("worst case", "0100", 1, 0.25)


def test_forms_of_an_attack_share_their_images(model, benign, originals):
    few = originals.take(slice(0, 12))
    kinds = [one for one in gray_box(8 / 255, "M", cw_steps=20) if one.method == "deepfool"]
    frame = assess({"none": model}, benign, few, kinds, {"M": model})
    shares = frame.set_index("attack")["accuracy"]
    assert shares["DeepFool, float"] <= shares["DeepFool, 8-bit"]
    assert shares["DeepFool, scaled"] == 0
    norms = frame.set_index("attack")["l2"]
    assert norms["DeepFool, float"] <= norms["DeepFool, scaled"] * 1.05
    with pytest.raises(ValueError, match="DeepFool, float has the target 'M', not among"):
        assess({"none": model}, benign, few, kinds, {})


def test_gradients_are_put_back(model, benign, originals):
    defended = behind(model, 50)
    few = originals.take(slice(0, 6))
    cubic = Attack("c", "fgsm", 4 / 255, gradient="cubic")
    assess({"d": defended}, benign.take(slice(0, 6)), few, [cubic])
    assert defended[0].gradient == "straight-through"


def test_adversarial_images_are_kept_and_found_again(model, benign, originals, tmp_path, monkeypatch):
    few, targets = originals.take(slice(0, 6)), {"M": model}
    kinds = [one for one in gray_box(8 / 255, "M", cw_steps=5) if one.method in ("pgd", "deepfool")]
    first = assess({"none": model}, benign, few, kinds, targets, kept=tmp_path)
    files = sorted(tmp_path.iterdir())
    assert [path.name.split("-on-")[0] for path in files] == ["deepfool", "pgd"]
    found = safetensors.torch.load(files[1].read_bytes())
    assert (found["float"] - few.pixels / 255).abs().max() <= 8 / 255 + 1e-6
    assert torch.equal(found["bytes"], attacks.to_bytes(found["float"]))
    with monkeypatch.context() as patch:
        patch.setattr("nnjpeg.robust.evaluation._attacked", None)  # they are not made again
        again = assess({"none": model}, benign, few, kinds, targets, kept=tmp_path)
    pandas.testing.assert_frame_equal(first, again)
    with pytest.raises(ValueError, match="holds other images"):
        assess({"none": model}, benign, originals.take(slice(6, 12)), kinds, targets, kept=tmp_path)


def test_what_is_known_is_not_done_again(model, benign, originals):
    asked = []

    class Counting(nn.Module):
        def forward(self, images):
            asked.append(len(images))
            return model(images)

    defences, known, few = {"mine": Counting()}, {}, originals.take(slice(0, 6))
    one = [Attack("I-FGSM", "ifgsm", 8 / 255, (("steps", 2),))]
    first = assess(defences, benign, few, one, scenario="a", known=known)
    count = len(asked)
    same = [Attack("by another name", "ifgsm", 8 / 255, (("steps", 2),))]
    again = assess(defences, benign, few, same, scenario="b", known=known)
    assert len(asked) == count
    assert list(first["hits"]) == list(again["hits"])
    assert set(again["scenario"]) == {"b"}
    assess(defences, benign, few, [Attack("I-FGSM", "ifgsm", 4 / 255, (("steps", 2),))], known=known)
    assert len(asked) > count


def test_images_of_attacks_on_whole_defences_are_kept_if_asked(model, benign, originals, tmp_path):
    few = originals.take(slice(0, 6))
    defences = {"none": model, "NN-JPEG": behind(model, 50)}
    attack = [Attack("FGSM", "fgsm", 8 / 255)]
    assess(defences, benign, few, attack, kept=tmp_path)
    assert not list(tmp_path.iterdir())
    assess(defences, benign, few, attack, kept=tmp_path, keep_whole=True)
    files = sorted(path.name.rpartition("-")[0] for path in tmp_path.iterdir())
    assert files == ["fgsm-on-all-of-NN-JPEG", "fgsm-on-all-of-none"]
    for path in tmp_path.iterdir():
        kept = safetensors.torch.load_file(path)
        assert torch.equal(kept["bytes"], attacks.to_bytes(kept["float"]))
        assert (kept["float"] - few.pixels / 255).abs().max() <= 8 / 255 + 1e-6


def test_defences_beside_others_of_equal_benign_accuracy():
    def row(defence, attack, hits):
        return {"defence": defence, "attack": attack, "hits": hits, "accuracy": hits.count("1") / len(hits)}

    frame = pandas.DataFrame([row("d", "benign", "1111100000"), row("d", "PGD", "1100")])
    swept = pandas.DataFrame(
        [
            row("JPEG 90", "benign", "1111111100"), row("JPEG 90", "PGD", "0000"),
            row("JPEG 50", "benign", "1111110000"), row("JPEG 50", "PGD", "0111"),
        ]
    )  # fmt: skip
    (found,) = beside(frame, swept).to_dict("records")
    assert found == {
        "defence": "d", "benign": 0.5, "accuracy": 0.5, "other": "JPEG 50", "other_benign": 0.6,
        "other_accuracy": 0.75, "only_this": 1, "only_other": 2,
    }  # fmt: skip


def test_a_users_own_model_and_defence(model, benign):
    """The README's example, run."""
    readme = Path(__file__).parent.parent / "README.md"
    if not readme.exists():
        pytest.skip("the README is not here")
    (block,) = re.findall(
        r"^```python\n((?:(?!^```).)*from nnjpeg.robust.evaluation.*?)^```$", readme.read_text(), re.S | re.M
    )
    assert len([line for line in block.splitlines() if line.strip()]) < 15
    names = {"MODEL": model}
    exec(block.replace("photos_model()", "MODEL"), names)
    frame = names["frame"]
    assert {"gray-box", "white-box"} == set(frame["scenario"])
    assert {"none", "mine"} == set(frame["defence"])
    shares = frame.pivot_table(index=["scenario", "defence"], columns="attack", values="accuracy")
    for _, row in shares.iterrows():
        assert row["worst case"] <= row[[name for name in row.index if "GSM" in name or "PGD" in name]].min() + 1e-9


def test_the_checklist_says_what_was_missed():
    def rows(scenario, shares):
        return [
            {"scenario": scenario, "defence": "d", "attack": attack, "accuracy": share, "images": 100}
            for attack, share in shares.items()
        ]

    white = {"PGD, whole": 0.5, "PGD, whole, cubic": 0.4, "PGD, whole, margin": 0.5, "Square": 0.2}
    cells = pandas.DataFrame(rows("white-box", white) + rows("gray-box", {"FGSM": 0.6}))
    curve = pandas.DataFrame(
        [{"defence": "d", "method": m, "eps": e, "accuracy": a}
         for m, e, a in (("PGD", "8", 0.4), ("FGSM", "8", 0.5), ("PGD", "32", 0.3), ("FGSM", "32", 0.2))]
    )  # fmt: skip
    settled = pandas.DataFrame(rows("convergence", {"benign": 0.9, "PGD": 0.4, "twice the steps": 0.3}))
    states = {one["point"]: (one["state"], one["why"]) for one in checklist(cells, curve, settled, {"eps": 8.0})}
    convergence = next(value for point, value in states.items() if "convergence" in point)
    assert convergence == ("missed", "at most, in points: twice the steps +10")
    masked = next(value for point, value in states.items() if "masked" in point)
    assert masked == ("missed", "beaten for: d")
    large = next(value for point, value in states.items() if "large eps" in point)
    assert large[0] == "missed"
    assert "d 30%" in large[1]
    assert "behind FGSM in 1 cells" in large[1]


OPTIONS = {
    "train": {"patches": 64, "batch": 16, "epochs": 0.25, "images": 40, "precision": "no"},
    "analyze": {"images": 4},
    "design": {"benign": 40, "adversarial": 4, "diagonals": [2], "steps": [50], "figure4": False},
    "figure6": {"images": 14, "attacked": 3, "steps": 1},
    "table1": {
        "patches": 64, "batch": 16, "images": 20, "attacked": 3, "epochs": [], "adversarial_epochs": 0.25,
        "restarts": [1], "steps": 1,
    },
    "evaluate": {
        "images": 14, "attacked": 3, "steps": 2, "restarts": 1, "cw_steps": 2, "bpda_steps": 2, "queries": 3,
        "samples": 2, "curve": [8], "other": "plain", "other_options": {"classes": 7},
    },
}  # fmt: skip


def test_reproduce_from_the_first_stage_to_the_report(folder, tmp_path, capsys):
    options = json.loads(json.dumps(OPTIONS))
    options["train"]["weights"] = str(folder / "m.safetensors")
    options["evaluate"]["other_weights"] = str(folder / "other.safetensors")

    def command(out):
        return ["reproduce", "--options", json.dumps(options), "--out", str(tmp_path / out)]

    assert main(command("a")) == 0, capsys.readouterr().err
    page = (tmp_path / "a" / "report.html").read_text()
    for title in (
        "Frequencies",
        "The table",
        "Noisy training",
        "Table 1",
        "gray-box",
        "black-box",
        "Table 3",
        "Figure 5",
        "random defences",
        "converged",
    ):
        assert title in page, title
    assert "only JPEG" in page
    assert list((tmp_path / "a" / "evaluate" / "adversarial").glob("pgd-on-all-of-*"))
    assert page.count("data:image/png;base64,") >= 7
    compared = pandas.read_csv(tmp_path / "a" / "table1" / "table1.csv").drop_duplicates("defence").set_index("defence")
    assert list(compared.index) == ["none (M)", "Fast AT", "Free AT", "noisy"]
    assert compared["epochs"]["noisy"] == 7 * 0.25
    assert compared["seconds"]["noisy"] > 0
    assert "http://" not in page
    assert "https://" not in page
    for scenario in ("BPDA, one transform", "PGD, whole, cubic", "worst case"):
        assert scenario in page
    # The same again: nothing is done twice.
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("*.csv")}
    capsys.readouterr()
    assert main(command("a")) == 0
    assert capsys.readouterr().out.count("done before") == 6
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("*.csv")}
    # The same evaluation elsewhere: the same tables.
    given = options["evaluate"] | {"models-of": str(tmp_path / "a" / "train")}
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in given.items()}
    words = [word for key, text in texts.items() for word in (f"--{key}", text)]
    assert main(["evaluate", *words, "--out", str(tmp_path / "b")]) == 0
    for name in (
        "cells.csv",
        "figure5.csv",
        "equal.csv",
        "beside.csv",
        "curve.csv",
        "convergence.csv",
        "checklist.json",
    ):
        assert (tmp_path / "b" / name).read_text() == (tmp_path / "a" / "evaluate" / name).read_text(), name
    # Other inputs of one stage: that stage alone, and what it gave before is kept.
    options["figure6"]["images"] = 10
    options["evaluate"]["curve"] = [8]
    assert main(command("a")) == 0
    assert capsys.readouterr().out.count("done before") == 5
    assert (tmp_path / "a" / "figure6.before1" / "figure6.csv").exists()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["reproduce", "--preset", "imagenet"], "data: give a folder with train and val"),
        (["reproduce", "--options", '{"bake": {}}'], "options must be by stage, .* got 'bake'"),
        (["evaluate", "--data", "nowhere"], "give the name of a model"),
        (["evaluate", "--models-of", "nowhere"], "there is no checkpoint nowhere"),
    ],
)
def test_commands_refuse(command, message, tmp_path, capsys):
    assert main([*command, "--out", str(tmp_path / "run")]) == 1
    assert re.search(message, capsys.readouterr().err)


def test_right_is_by_image(model, benign):
    hits = right(model, benign, batch=33)
    assert hits.shape == (280,)
    assert hits.mean() == accuracy(model, benign)
    assert QTable(np.asarray(NN_TABLE)) == NN_TABLE
