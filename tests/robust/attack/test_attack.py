"""An attack as a value: what is refused, that each method runs, and the attacks of each scenario."""

import pytest
import torch

from nnjpeg.robust.attack import attack as presets
from nnjpeg.robust.attack.attack import WHOLE, Attack


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "magic"}, "method must be one of fgsm, ifgsm, .*, got 'magic'"),
        ({"gradient": "cubic"}, "gradient must be one of 'identity', 'smooth', 'none', got 'cubic'"),
        ({"loss": "members"}, "loss must be one of 'cross-entropy', .*, got 'members'"),
        ({"view": "all"}, "view must be one of 'output', 'logits', 'members', '', got 'all'"),
        ({"form": "16-bit"}, "form must be one of '8-bit', 'float', 'scaled', got '16-bit'"),
    ],
)
def test_attacks_that_there_are_not(given, message):
    with pytest.raises(ValueError, match=message):
        Attack(**{"method": "pgd", **given})


SHORT = {
    "fgsm": {}, "ifgsm": {"steps": 2}, "tifgsm": {}, "difgsm": {"steps": 2}, "square": {"queries": 5},
    "pgd": {"steps": 2, "step": 0.02, "restarts": 2, "loss": "margin", "view": "output"},
    "apgd-ce": {"steps": 2, "restarts": 2, "samples": 2}, "apgd-dlr": {"steps": 2}, "apgd-t": {"steps": 2},
    "fab-t": {"steps": 2}, "bpda": {"steps": 2}, "deepfool": {}, "c&w": {"steps": 2},
}  # fmt: skip


@pytest.mark.parametrize("method", SHORT)
def test_every_attack_runs_and_its_seed_decides(method, originals, model):
    assert set(SHORT) == set(presets._METHODS)
    x, y = originals.pixels[:4] / 255, originals.labels[:4]
    unbounded = method in ("bpda", "deepfool", "c&w")
    one = Attack(method, None if unbounded else 16 / 255, **SHORT[method])
    assert one.bounded != unbounded
    found = one.run(model, x, y, 0)
    assert 0 <= found.min() <= found.max() <= 1
    assert unbounded or (found - x).abs().max() <= 16 / 255 + 1e-6
    torch.rand(3)
    assert torch.equal(one.run(model, x, y, 0), found)


def test_presets_have_each_attack_once():
    eps = 8 / 255
    every = {
        "gray": presets.gray_box(eps, "M"), "black": presets.black_box(eps, "other"),
        "white": presets.white_box(eps, ensemble=True), "random": presets.expectation(eps, 8, smooth=True),
        "convergence": presets.convergence(eps), "curve": presets.curve([eps, 2 * eps]),
    }  # fmt: skip
    for name, attacks in every.items():
        assert len(set(attacks)) == len(attacks) > 3, name
    assert {one.target for one in every["gray"]} == {"M"}
    assert [one for one in every["gray"] if one.bounded] == presets.black_box(eps, "M")
    assert {one.target for name in ("white", "random", "convergence", "curve") for one in every[name]} == {WHOLE}
    # I-FGSM with Eq. 2's step
    assert {one.step for one in every["gray"] if one.method == "ifgsm"} == {eps}
