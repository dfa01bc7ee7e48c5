"""Defences under attack: what is counted, what is kept, and what does not depend on how it was computed."""

import gc
from dataclasses import fields
from functools import partial

import documents
import pandas
import pytest
import safetensors.torch
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nnjpeg.robust.attack import attack as presets
from nnjpeg.robust.attack.attack import AXES, WHOLE, Attack, gray_box
from nnjpeg.robust.attack.gradients import to_bytes
from nnjpeg.robust.data import Images
from nnjpeg.robust.defend.ensemble import Ensemble
from nnjpeg.robust.defend.transforms import Defended, behind
from nnjpeg.robust.judge import assess as module
from nnjpeg.robust.judge.assess import assess, evaluate, knowing_all, worst_case
from nnjpeg.robust.judge.statistics import share_of
from nnjpeg.robust.record.run import Run
from nnjpeg.robust.record.store import Journal

COLUMNS = {
    "scenario", "defence", "attack", *AXES, "bounded", "hits", "right", "images", "accuracy", "low", "high",
    "considered", "of_all", "l2", "linf", "seconds",
} - {"method"}  # fmt: skip


class Bright(nn.Module):
    """Class 0 where an image is brighter than the middle."""

    def forward(self, images):
        score = 10 * (images.mean((1, 2, 3)) - 0.5)
        return torch.stack([score, -score], 1)


class Dimmed(Bright):
    """The same judge behind a dimmed image: what fools it differs."""

    def forward(self, images):
        return super().forward(images - 0.06)


def flat(*levels):
    """Images of one grey level each, with the labels that `Bright` gives them."""
    level = torch.tensor(levels)
    pixels = level.to(torch.uint8)[:, None, None, None].expand(-1, 3, 8, 8)
    return Images(pixels, (level < 128).long(), ("bright", "dark"))


@pytest.fixture
def made(monkeypatch):
    """The attacks that have been run, as they are run."""
    done, run = [], Attack.run
    monkeypatch.setattr(Attack, "run", lambda self, *arguments: done.append(self) or run(self, *arguments))
    return done


# What is counted


def test_assess_counts_what_it_says():
    images, eps = flat(100, 120, 140, 160), 25 / 255
    pgd = {"eps": eps, "steps": 2, "step": eps, "loss": "cross-entropy"}
    kinds = [Attack("pgd", target="M", **pgd), Attack("pgd", **pgd)]
    defences = {"none": Bright(), "dimmed": Dimmed()}
    frame = assess(defences, images, images, kinds, {"M": Bright()}, scenario="s", considered=5)
    assert set(frame.columns) == COLUMNS
    hits = {(row.defence, row.attack, row.target if row.bounded else None): row.hits for row in frame.itertuples()}
    assert hits["none", "benign", None] == "1111"
    assert hits["none", "pgd", "M"] == hits["none", "pgd", WHOLE] == "1001"  # 120 and 140 lie within eps of 127.5
    assert hits["dimmed", "benign", None] == "1101"  # 140 - 15.3 is dark
    assert hits["dimmed", "pgd", WHOLE] == "1000"  # 120 up to 145, 160 down to 135
    # What fools M fools no other: 120, brightened to 145, is dimmed to 129.7; 140 falls; 160, at 135, is 119.7.
    assert hits["dimmed", "pgd", "M"] == "1000"
    assert list(frame["images"]) == [4] * 6
    assert set(frame["scenario"]) == {"s"}
    for row in frame.itertuples():
        assert {name: getattr(row, name) for name in share_of(row.hits)} == share_of(row.hits)
        assert row.considered == (4 if row.attack == "benign" else 5)
        assert row.of_all == row.right / row.considered
        assert row.bounded == (row.attack == "pgd")
    attacked = frame[frame["attack"] == "pgd"]
    assert (attacked["linf"] <= eps + 1e-6).all()
    assert (attacked["l2"] <= eps * 192**0.5 + 1e-5).all()
    assert frame[frame["attack"] == "benign"][["l2", "linf", *AXES[1:]]].isna().all(axis=None)


def test_norms_are_means_over_all_images():
    """Of batches that are not alike in size."""
    frame = assess({"none": Bright()}, flat(200), flat(0, 100, 200), [Attack("fgsm", 51 / 255)], batch=2)
    row = frame[frame["attack"] == "fgsm"].iloc[0]
    assert row["linf"] == pytest.approx(0.2)
    assert row["l2"] == pytest.approx(0.2 * 192**0.5)


def test_intervals_are_of_whole_sources():
    images = flat(*range(60, 200, 2))
    sourced = Images(images.pixels, images.labels, images.classes, sources=torch.arange(70) // 10)
    frame = assess({"none": Bright()}, sourced, sourced, [Attack("fgsm", 16 / 255)])
    for row in worst_case(frame, sourced.sources).itertuples():
        assert (row.low, row.high) == tuple(share_of(row.hits, sourced.sources.numpy())[end] for end in ("low", "high"))
    assert len(frame) == 2
    plain = assess({"none": Bright()}, images, images, [Attack("fgsm", 16 / 255)])
    assert plain["hits"].equals(frame["hits"])
    assert not plain["low"].equals(frame["low"])


def test_attacks_by_the_name_of_the_defence():
    one, other = Attack("fgsm", 4 / 255), Attack("fgsm", 8 / 255)
    defences = {"none": Bright(), "dimmed": Dimmed(), "left": Bright()}
    frame = assess(defences, flat(200), flat(200), {"none": [one], "dimmed": [one, other]})
    attacked = frame[frame["attack"] != "benign"]
    assert list(attacked["defence"]) == ["none", "dimmed", "dimmed"]
    assert list(frame["defence"])[:3] == list(defences)


def test_the_batch_does_not_matter_where_nothing_is_drawn():
    images = flat(*range(70, 190, 3))
    kinds = [Attack("fgsm", 20 / 255), Attack("ifgsm", 20 / 255, steps=3)]
    one, other = (assess({"d": Dimmed()}, images, images, kinds, batch=batch) for batch in (7, 64))
    assert one["hits"].equals(other["hits"])


def test_worst_case_is_image_by_image():
    def row(defence, attack, hits, bounded=True, form="8-bit", scenario="s", eps=0.1):
        return {
            "scenario": scenario, "defence": defence, "attack": attack, "hits": hits, "bounded": bounded, "form": form,
            "eps": eps, "considered": 8, "target": "M",
        }  # fmt: skip

    frame = pandas.DataFrame([
        row("d", "benign", "111100", bounded=False, form=None, eps=None), row("d", "a", "1100"),
        row("d", "b", "0110"), row("d", "a", "1000", eps=0.2), row("d", "least", "0000", bounded=False, eps=None),
        row("d", "in float", "0000", form="float"), row("e", "a", "1011"), row("d", "a", "1010", scenario="t"),
    ])  # fmt: skip
    found = worst_case(frame)
    pandas.testing.assert_frame_equal(found[: len(frame)][list(frame)], frame, check_dtype=False)
    last = found[len(frame) :]
    assert set(last["attack"]) == {"worst case"}
    assert last[["scenario", "defence", "eps", "hits", "right", "accuracy", "of_all"]].to_numpy().tolist() == [
        ["s", "d", 0.1, "0100", 1, 0.25, 1 / 8], ["s", "d", 0.2, "1000", 1, 0.25, 1 / 8],
        ["s", "e", 0.1, "1011", 3, 0.75, 3 / 8], ["t", "d", 0.1, "1010", 2, 0.5, 2 / 8],
    ]  # fmt: skip
    assert last["bounded"].all()


def test_without_a_bounded_attack_there_is_no_worst_case():
    frame = assess({"none": Bright()}, flat(200), flat(200), [Attack("bpda", steps=2)])
    assert list(worst_case(frame)["attack"]) == ["benign", "bpda"]


def test_forms_of_an_attack_share_their_images(model, benign, originals, made):
    few = originals.take(slice(0, 12))
    kinds = [one for one in gray_box(8 / 255, "M", cw_steps=20) if one.method == "deepfool"]
    frame = assess({"none": model, "again": model}, benign.take(slice(0, 12)), few, kinds, {"M": model})
    assert len(made) == 1
    shares = frame[frame["defence"] == "none"].set_index("form")["accuracy"]
    assert shares["float"] <= shares["8-bit"]
    assert shares["scaled"] == 0
    norms = frame[frame["defence"] == "none"].set_index("form")["l2"]
    assert norms["float"] <= norms["scaled"] * 1.05
    assert not frame["bounded"].any()


def test_an_attack_on_another_model_is_made_once_for_all_defences(made):
    defences = {"none": Bright(), "dimmed": Dimmed()}
    kinds = [Attack("fgsm", 4 / 255, target="M"), Attack("fgsm", 4 / 255), Attack("fgsm", 8 / 255)]
    assess(defences, flat(200), flat(200, 100), kinds, {"M": Bright()})
    assert sorted((one.target, one.eps) for one in made) == [
        ("M", 4 / 255), (WHOLE, 4 / 255), (WHOLE, 4 / 255), (WHOLE, 8 / 255), (WHOLE, 8 / 255),
    ]  # fmt: skip


def test_a_target_must_be_known():
    with pytest.raises(ValueError, match=r"attacks: fgsm has the target 'M', not among \['other'\]"):
        assess({"none": Bright()}, flat(200), flat(200), [Attack("fgsm", 0.1, target="M")], {"other": Bright()})
    with pytest.raises(ValueError, match=r"has the target 'M', not among \[\]"):
        assess({"none": Bright()}, flat(200), flat(200), {"none": [Attack("fgsm", 0.1, target="M")]})


# How it goes through a defence


class Watching(nn.Module):
    """It notes how gradients go through the layer before it."""

    def __init__(self, model, layer):
        super().__init__()
        self.model, self.watched, self.seen = model, [layer], []

    def forward(self, images):
        self.seen.append((torch.is_grad_enabled() and images.requires_grad, self.watched[0].gradient))
        return self.model(images)


def test_gradients_go_as_they_are_told_and_are_put_back(model, benign, originals):
    layer, network = behind(model, 50)
    watching = Watching(network, layer)
    few = originals.take(slice(0, 6))
    for gradient, name in (("smooth", "cubic"), ("identity", "straight-through")):
        watching.seen.clear()
        kind = Attack("fgsm", 4 / 255, gradient=gradient)
        assess({"d": nn.Sequential(layer, watching)}, benign.take(slice(0, 6)), few, [kind])
        assert layer.gradient == "straight-through"
        assert (True, name) in watching.seen
        assert {how for with_gradient, how in watching.seen if not with_gradient} == {"straight-through"}


class Drawn(nn.Module):
    """By random signs, anew each time: who knows these fools it with next to nothing, who does not never does."""

    def forward(self, images):
        signs = torch.randn(images.shape[1:]).sign()
        score = 0.2 + ((images - images.mean((1, 2, 3), keepdim=True)) * signs).flatten(1).mean(1)
        return torch.stack([score, -score], 1)


@pytest.mark.parametrize("kind", [
    Attack("fgsm", 0.3), Attack("pgd", 0.3, loss="cross-entropy", steps=1, step=0.6, samples=1),
    Attack("apgd-ce", 0.3, steps=1, samples=1),
])  # fmt: skip
def test_an_attacker_does_not_know_the_draws_by_which_it_is_judged(kind):
    images = Images(torch.full((64, 3, 8, 8), 127, dtype=torch.uint8), torch.zeros(64, dtype=torch.long), ("a", "b"))
    x, y = images.pixels[:8] / 255, images.labels[:8]
    torch.manual_seed(0)
    found = kind.run(Drawn(), x, y, 0)
    if kind.method == "fgsm":
        torch.manual_seed(0)
        assert (Drawn()(found).argmax(1) == 1).all()  # it would fool what it has seen
    frame = assess({"d": Drawn()}, images, images, [kind], batch=8)
    assert frame["accuracy"].tolist() == [1, 1]


def test_the_seed_decides_about_random_defences(originals):
    few = originals.take(slice(0, 24))

    class Noisy(nn.Module):
        def forward(self, images):
            return torch.rand(len(images), 7) + 0 * images.mean((1, 2, 3))[:, None]

    def hits(seed):
        state = torch.get_rng_state()
        found = assess({"d": Noisy()}, few, few, [Attack("fgsm", 4 / 255)], seed=seed)["hits"].tolist()
        assert torch.equal(torch.get_rng_state(), state)
        torch.rand(3)
        return found

    first = hits(0)
    assert first == hits(0)
    assert first != hits(1)
    assert first[0] != first[1]


# What is kept


def test_adversarial_images_are_kept_and_found_again(model, benign, originals, tmp_path, made):
    few, some, targets = originals.take(slice(0, 6)), benign.take(slice(0, 6)), {"M": model}
    kinds = [one for one in gray_box(8 / 255, "M", cw_steps=5) if one.method in ("pgd", "deepfool")]

    def go(images, **options):
        return assess({"none": model}, some, images, kinds, targets, kept=tmp_path, batch=4, **options)

    first = go(few)
    folders = sorted(tmp_path.iterdir())
    assert [path.name.rpartition("-")[0] for path in folders] == ["deepfool-on-m", "pgd-on-m"]
    for folder in folders:
        assert [path.name for path in sorted(folder.iterdir())] == ["00000.safetensors", "00001.safetensors"]
    parts = [safetensors.torch.load_file(path) for path in sorted(folders[1].iterdir())]
    found = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    assert torch.equal(found["labels"], few.labels)
    assert (found["float"] - few.pixels / 255).abs().max() <= 8 / 255 + 1e-6
    assert torch.equal(found["bytes"], to_bytes(found["float"]))
    made.clear()
    again = go(few)
    assert not made
    pandas.testing.assert_frame_equal(first.drop(columns="seconds"), again.drop(columns="seconds"))
    for other in ({"images": originals.take(slice(6, 12))}, {"images": few, "seed": 1}):
        with pytest.raises(ValueError, match=r"00000.safetensors.* of something else"):
            go(**other)


def test_images_of_attacks_on_whole_defences_are_kept_if_asked(model, benign, originals, tmp_path):
    few, some = originals.take(slice(0, 6)), benign.take(slice(0, 6))
    defences = {"none": model, "NN-JPEG": behind(model, 50)}
    attack = [Attack("fgsm", 8 / 255)]
    assess(defences, some, few, attack, kept=tmp_path)
    assert not list(tmp_path.iterdir())
    assess(defences, some, few, attack, kept=tmp_path, keep_whole=True)
    names = sorted(path.name.rpartition("-")[0] for path in tmp_path.iterdir())
    assert names == ["fgsm-on-all-of-nn-jpeg", "fgsm-on-all-of-none"]
    for path in tmp_path.glob("*/*.safetensors"):
        kept = safetensors.torch.load_file(path)
        assert torch.equal(kept["bytes"], to_bytes(kept["float"]))
        assert (kept["float"] - few.pixels / 255).abs().max() <= 8 / 255 + 1e-6


class Counting(Bright):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, images):
        self.calls += 1
        return super().forward(images)


def test_what_is_known_is_not_done_again(tmp_path):
    defence, images, run = Counting(), flat(100, 120, 140), Run(tmp_path, "test", {})

    def go(scenario, *kinds):
        before = defence.calls
        frame = assess({"mine": defence}, images, images, kinds, {}, Journal(run, "cells"), scenario=scenario)
        return frame, defence.calls - before

    first, calls = go("a", Attack("ifgsm", 8 / 255, steps=2))
    assert calls > 0
    again, calls = go("b", Attack("ifgsm", 8 / 255, steps=2))
    assert calls == 0
    assert set(again["scenario"]) == {"b"}
    pandas.testing.assert_frame_equal(first.drop(columns="scenario"), again.drop(columns="scenario"))
    more, calls = go("b", Attack("ifgsm", 8 / 255, steps=2), Attack("ifgsm", 4 / 255, steps=2))
    assert 0 < calls <= 4  # of the one that is new
    assert len(more) == 3


# What it takes


class Largest(TorchDispatchMode):
    """How many bytes the largest tensor had that any operation has made."""

    def __init__(self):
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        given = {
            one.untyped_storage().data_ptr() for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)
        }
        made = [
            one.numel() * one.element_size()
            for one in tree_leaves(result)
            if isinstance(one, torch.Tensor) and one.untyped_storage().data_ptr() not in given  # a view is not made
        ]
        self.bytes = max(self.bytes, *made, 0)
        return result


class Weighing(Bright):
    """Now and then it adds up the bytes of all tensors that there are."""

    def __init__(self):
        super().__init__()
        self.calls, self.most = 0, 0

    def forward(self, images):
        self.calls += 1
        if self.calls % 30 == 0:
            self.most = max(self.most, _alive())
        return super().forward(images)


def _alive():
    gc.collect()
    storages = [one.untyped_storage() for one in gc.get_objects() if type(one) is torch.Tensor]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


@pytest.mark.slow(4)
def test_memory_does_not_grow_with_the_number_of_images():
    """At most so many floats as a few batches have, and the same whether there are five batches or forty."""
    eps, each = 8 / 255, 3 * 8 * 8  # samples of an image
    kinds = [
        Attack("fgsm", eps, target="M"), Attack("deepfool", target="M", form="scaled"), Attack("fab-t", eps, steps=2),
        Attack("pgd", eps, loss="targeted", steps=2, step=eps), Attack("pgd", eps, steps=1, step=eps, samples=2),
        Attack("apgd-ce", eps, steps=2), Attack("square", eps, gradient="none", queries=3),
    ]  # fmt: skip
    largest, most = [], []
    for count in (40, 320):
        images, weighing = flat(*(90 + k % 80 for k in range(count))), Weighing()
        before = _alive()
        with Largest() as seen:
            assess({"none": weighing}, images, images, kinds, {"M": Bright()}, batch=8)
        largest.append(seen.bytes)
        most.append(weighing.most - before)
    assert largest[0] == largest[1] <= 4 * 8 * each * 4
    assert 0 < most[1] <= most[0] + 4 * 8 * each * 4


# All of it


@pytest.mark.slow(4)
def test_evaluate_has_every_attack_that_a_defence_calls_for(model, benign):
    eps = 8 / 255
    few = Images(
        *(tensor[:40] for tensor in (benign.pixels, benign.labels)), benign.classes, sources=benign.sources[:40]
    )

    class Noisy(nn.Module):
        def forward(self, images):
            return images + 0.02 * torch.randn_like(images)

    mine = {
        "bytes": Defended(model, lambda pixels: pixels // 32 * 32 + 16), "NN-JPEG": behind(model, 50),
        "both": Ensemble([(model, None), (behind(model, 50), None)]), "random": Defended(model, Noisy()),
    }  # fmt: skip
    frame = evaluate(model, mine, few, eps=eps, attacked=4, steps=1, queries=2, draws={"random": 2})
    assert set(frame.columns) == COLUMNS
    assert set(frame["scenario"]) == {"gray-box", "white-box"}
    assert set(frame["defence"]) == {"none", *mine}
    asked = {"none": knowing_all(model, eps, steps=1, queries=2)}
    asked |= {
        name: knowing_all(one, eps, steps=1, queries=2, draws=2 * (name == "random")) for name, one in mine.items()
    }
    for (scenario, defence), part in frame.groupby(["scenario", "defence"]):
        assert part["attack"].iloc[0] == "benign"
        assert part["attack"].iloc[-1] == "worst case"
        attacks = part[1:-1]
        wanted = asked[defence] if scenario == "white-box" else presets.black_box(eps, "none")
        assert [_of(row) for row in attacks.to_dict("records")] == wanted
        assert attacks["bounded"].all()
        assert (attacks["linf"] <= eps + 1e-6).all()
        # By image: right under each of them
        expected = "".join("01"[all(hits[k] == "1" for hits in attacks["hits"])] for k in range(4))
        assert part["hits"].iloc[-1] == expected
        assert part["accuracy"].iloc[-1] == expected.count("1") / 4
        assert part["images"].tolist() == [40, *[4] * (len(part) - 1)]
    attacked = frame[frame["attack"] != "benign"]
    assert attacked["considered"].nunique() == 1
    assert 4 <= attacked["considered"].iloc[0] <= 40
    assert (attacked["of_all"] == attacked["right"] / attacked["considered"]).all()
    assert ((frame["low"] <= frame["accuracy"]) & (frame["accuracy"] <= frame["high"])).all()


def _of(row):
    """The attack that a row of a table is of: the columns are its fields."""
    values = {"method": row["attack"], **{name: row[name] for name in AXES[1:]}}
    return Attack(**{name: None if value != value else value for name, value in values.items()})


def test_who_knows_all_tries_every_gradient_loss_and_view():
    plain, rounded = Defended(nn.Flatten(), lambda pixels: pixels), behind(nn.Flatten(), 50)
    both = Ensemble([(nn.Flatten(), None), (rounded, None)])

    def ways(defence, **options):
        return {(one.method, one.gradient, one.loss, one.view) for one in knowing_all(defence, 0.1, **options)}

    losses = ("cross-entropy", "margin", "dlr")
    least = {("pgd", "identity", loss, "output") for loss in losses}
    least |= {(name, "identity", "", "") for name in ("apgd-ce", "apgd-t", "fab-t")} | {("square", "none", "", "")}
    assert ways(plain) == least
    smooth = {(name, "smooth", loss, view) for name, gradient, loss, view in least if gradient == "identity"}
    assert ways(rounded) == least | smooth
    views = {("pgd", how, "cross-entropy", view) for how in ("identity", "smooth") for view in ("logits", "members")}
    assert ways(both) == least | smooth | views
    drawn = {("pgd", "identity", loss, "output") for loss in losses} | {("apgd-ce", "identity", "", "")}
    assert ways(plain, draws=4) == drawn
    assert ways(rounded, draws=4) == drawn | {(name, "smooth", loss, view) for name, _, loss, view in drawn}
    assert {one.samples for one in knowing_all(plain, 0.1, draws=4)} == {4}


@pytest.mark.slow(5)
def test_a_users_own_model_and_defence(model, monkeypatch):
    """The tutorial's first example, run, with shorter attacks: by default they take minutes."""
    page = "docs/tutorials/attack.md"
    if not (documents.ROOT / page).exists():
        pytest.skip("the documentation is not here")
    block = documents.python_blocks(page)[0]
    assert len([line for line in block.splitlines() if line.strip()]) < 15
    assert block.count("photos_model()") == 1
    monkeypatch.setattr(module, "evaluate", partial(evaluate, steps=1, queries=3))
    names = {"MODEL": model}
    exec(block.replace("photos_model()", "MODEL"), names)
    frame = names["frame"]
    assert {
        "scenario", "defence", "attack", "gradient", "loss", "accuracy", "low", "high", "images",
    } <= set(frame.columns)  # fmt: skip
    assert {"gray-box", "white-box"} == set(frame["scenario"])
    assert {"none", "mine"} == set(frame["defence"])
    for _, part in frame.groupby(["scenario", "defence"]):
        (worst,) = part[part["attack"] == "worst case"]["accuracy"]
        others = part[~part["attack"].isin(["benign", "worst case"])]["accuracy"]
        assert len(others) >= 5
        assert worst <= others.min() + 1e-9


# An attack as a value


def test_the_fields_of_an_attack_are_its_columns():
    assert tuple(one.name for one in fields(Attack)) == AXES
    frame = assess({"d": Bright()}, flat(200), flat(200), [Attack("ifgsm", 0.1, steps=2, step=0.1)])
    assert _of(frame.to_dict("records")[1]) == Attack("ifgsm", 0.1, steps=2, step=0.1)


def test_who_knows_all_can_do_what_others_do(model, benign):
    """A defence that only hides its gradients is no better in white-box than under attacks that know less."""

    class Step(nn.Module):
        def forward(self, x):
            return (x * 255 / 32).floor() * 32 / 255

    few = benign.take(slice(0, 140))
    frame = evaluate(model, {"hidden": Defended(model, Step())}, few, eps=8 / 255, attacked=16, steps=2, queries=2)
    worst = frame[frame["attack"] == "worst case"].set_index(["scenario", "defence"])["hits"]
    gray, white = worst["gray-box", "hidden"], worst["white-box", "hidden"]
    assert "0" in gray
    assert all(w <= g for w, g in zip(white, gray, strict=True))


class OneHot(nn.Module):
    def forward(self, logits):
        return nn.functional.one_hot(logits.argmax(1), logits.shape[1]).float()


class Detached(nn.Module):
    def forward(self, x):
        return x.detach()


class Frozen(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    @torch.no_grad()
    def forward(self, x):
        return self.model(x)


@pytest.mark.parametrize(
    "layer",
    [lambda m: nn.Sequential(m, OneHot()), lambda m: nn.Sequential(Detached(), m), Frozen],
    ids=["an argmax", "detached", "without a graph"],
)
def test_a_model_without_gradients_is_attacked_all_the_same(model, benign, layer):
    few = benign.take(slice(0, 40))
    frame = evaluate(model, {"mine": layer(model)}, few, eps=8 / 255, attacked=8, steps=2, queries=2)
    white = frame[(frame["scenario"] == "white-box") & (frame["defence"] == "mine")]
    assert {"pgd", "apgd-ce", "apgd-t", "fab-t", "square", "worst case"} <= set(white["attack"])


def test_what_would_overstate_is_refused(model, benign):
    few = benign.take(slice(0, 40))

    def go(defences, **more):
        return evaluate(model, defences, few, eps=8 / 255, attacked=4, steps=2, queries=2, **more)

    def noisy(pixels):
        return (pixels.int() + torch.randint(-9, 9, pixels.shape)).clamp(0, 255).to(torch.uint8)

    with pytest.raises(ValueError, match=r"draws: 'nosy' is no defence; there are none, noisy"):
        go({"noisy": Defended(model, noisy)}, draws={"nosy": 2})
    with pytest.raises(ValueError, match=r"draws: noisy answers differently when it is asked twice; .*\{'noisy': 8\}"):
        go({"noisy": Defended(model, noisy)})
    with pytest.raises(ValueError, match="defences: 'none' is the name of the model without a defence"):
        go({"none": model})

    class Broken(nn.Module):
        def forward(self, x):
            return model(x) * float("nan")

    with pytest.raises(ValueError, match=r"a model returned NaN for \d+ of \d+ images"):
        assess({"broken": Broken()}, few, few, [])


def test_results_of_other_weights_are_not_taken_for_these(tmp_path):
    run = Run(tmp_path / "run", "evaluate", {})
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    attack = [Attack("fgsm", 8 / 255)]
    for weight in (1.0, -1.0):
        with torch.no_grad():
            net[2].weight.fill_(0)
            net[2].weight[1] += weight
            net[2].bias.copy_(torch.tensor([0.0, -weight * 1.5]))
        fresh = assess({"none": net}, flat(200), flat(200), attack)
        kept = assess({"none": net}, flat(200), flat(200), attack, journal=Journal(run, "cells"))
        assert list(fresh["hits"]) == list(kept["hits"])
        assert "of" not in kept
    assert len(list(Journal(run, "cells"))) == 4
