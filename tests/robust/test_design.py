"""Algorithm 1: on a case whose answer is known by construction, and as a job that can be stopped."""

import json
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas
import processes
import pytest
import safetensors.torch
import timm
import torch
import torchvision
from PIL import Image
from torch import nn

import nnjpeg
from nnjpeg import QTable
from nnjpeg.cli import main
from nnjpeg.robust import data, models
from nnjpeg.robust import design as search
from nnjpeg.robust.attack import gradients as attacks
from nnjpeg.robust.data import Images
from nnjpeg.robust.frequency import FrequencyStatistics, band_order
from nnjpeg.robust.judge.statistics import accuracy, wilson
from nnjpeg.robust.record import distributed
from nnjpeg.robust.record.run import Run
from nnjpeg.robust.record.store import Journal, shared
from nnjpeg.robust.train.photos import photos_model

# A planted case. The class of an image is the sign of its coefficients on the last anti-diagonal before K, 12 each. To
# them comes a perturbation of 20 in every coefficient from K on, where the classifier listens even more. A step of 16
# keeps both; one above 40 forgets both. So the answer is K diagonals at 16 and the rest above 40: fewer lose the
# signal, more keep the attack.

K = 3
LOW = [(i, j) for i in range(8) for j in range(8) if i + j == K - 1]
BEFORE_K = [(i, j) for i in range(8) for j in range(8) if i + j < K]
HIGH = [(i, j) for i in range(8) for j in range(8) if i + j >= K]


def spectrum(bands, value):
    result = np.zeros((8, 8), np.float32)
    for band in bands:
        result[band] = value
    return result


class PlantedClassifier(nn.Module):
    """Linear: the sum of low coefficients less twice the sum of high ones, over all blocks and components."""

    def __init__(self):
        super().__init__()
        weights = spectrum(LOW, 1.0) + spectrum(HIGH, -2.0)
        kernel = nnjpeg.idct(weights[None, None], layout="HW")
        self.kernel = nn.Parameter(torch.from_numpy(kernel.copy())[None, None].repeat(1, 3, 1, 1))

    def forward(self, images):
        score = nn.functional.conv2d(255 * images - 128, self.kernel, stride=8).mean((1, 2, 3))
        return torch.stack([-score, score], 1) / 50  # else float32 has no gradient left of so sure an answer


def planted(count=60, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    coefficients = rng.normal(0, 1, (count, 3, 4, 4, 8, 8)).astype(np.float32)
    coefficients[..., 0, 0] = 100 * rng.normal(size=(count, 3, 4, 4))
    signs = np.where(labels, 1, -1)[:, None, None, None, None, None].astype(np.float32)
    benign = coefficients + signs * spectrum(LOW, 12)
    adversarial = benign + signs * spectrum(HIGH, 20)

    def images(c):
        blocks = nnjpeg.idct(c.swapaxes(1, 2).swapaxes(2, 3).reshape(count, 4, 4, 3, 8, 8), layout="NHWC")
        pixels = np.clip(np.rint(blocks + 128), 0, 255).astype(np.uint8)
        return Images(torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()), torch.from_numpy(labels), ("a", "b"))

    return images(benign), images(adversarial)


@pytest.fixture(scope="module")
def case():
    return (PlantedClassifier().eval(), *planted())


def test_the_planted_case_is_what_it_says(case):
    model, benign, adversarial = case
    assert accuracy(model, benign) == 1
    assert accuracy(model, adversarial) == 0


def test_the_order_of_bands_finds_the_planted_ones(case):
    _, benign, adversarial = case
    images, perturbations = FrequencyStatistics.of([benign.pixels]), FrequencyStatistics()
    perturbations.update(adversarial.pixels, minus=benign.pixels)
    order = band_order(images, perturbations)
    assert set(order[: len(BEFORE_K)]) == set(BEFORE_K)


def test_algorithm_1_finds_the_planted_table(case):
    model, benign, adversarial = case
    order = [*BEFORE_K, *HIGH]
    cells = search.grid(range(1, 15), search.QS_AF, 16, measured=[1, len(BEFORE_K), 20])
    results = search.frame(search.evaluate_cells(cells, model, benign, adversarial, order=order), benign, adversarial)
    undefended = search.evaluate_cells([search.Cell("none")], model, benign, adversarial)
    none = search.frame(undefended, benign, adversarial).iloc[0].to_dict()
    verdict = search.choose(results, none)
    assert verdict.useful
    assert (verdict.cell["partition"], verdict.cell["n"], verdict.cell["qs_of"]) == ("diagonal", K, 16)
    assert verdict.cell["qs_af"] > 40
    measured = search.choose(results[results["partition"] == "measured"], none)
    assert measured.cell["n"] == len(BEFORE_K)
    right = results[(results["accuracy"] > 0.99) & (results["defence"] > 0.99) & (results["partition"] == "diagonal")]
    assert set(right["n"]) == {K}
    table = search.table_of(search.Cell(**{k: verdict.cell[k] for k in ("partition", "n", "qs_of", "qs_af")}))
    assert table == QTable.nn(K, 16, int(verdict.cell["qs_af"]))


def test_the_grid_is_algorithm_1s():
    assert (1, 6, 11, 16, 21, 26, 31, 36, 41, 46, 50, 51, *range(56, 122, 5)) == search.QS_AF
    assert len(search.grid()) == 14 * 26
    assert search.qs_of_eps(4 / 255) == 64
    assert search.qs_of_eps(1) == 255


def test_intervals_are_wilsons():
    low, high = wilson(8, 10)
    assert (round(low, 4), round(high, 4)) == (0.4902, 0.9433)
    assert wilson(0, 10)[0] == pytest.approx(0, abs=1e-12)
    assert wilson(10, 10)[1] == pytest.approx(1)


def row(accuracy, defence, **more):
    defaults = {"partition": "diagonal", "n": 1, "qs_of": 16, "qs_af": 50, "colorspace": "rgb"}
    low, high = wilson(round(100 * defence), 100)
    return {**defaults, "accuracy": accuracy, "defence": defence, "defence_low": low, "defence_high": high, **more}


def test_the_front_is_what_nothing_beats():
    cells = pandas.DataFrame([row(0.9, 0.1), row(0.8, 0.5), row(0.8, 0.4), row(0.7, 0.5), row(0.6, 0.9)])
    front = search.pareto_front(cells)[["accuracy", "defence"]]
    assert front.to_numpy().tolist() == [[0.9, 0.1], [0.8, 0.5], [0.6, 0.9]]


def test_no_cell_qualifies():
    verdict = search.choose(pandas.DataFrame([row(0.8, 0.9), row(0.7, 0.95)]), row(0.9, 0.0))
    assert verdict.cell is None
    assert not verdict.useful
    assert "No table loses at most 1 point of" in verdict.text
    assert "10.0 points" in verdict.text


def test_a_useless_table_is_called_so():
    verdict = search.choose(pandas.DataFrame([row(0.9, 0.08)]), row(0.9, 0.03))
    assert verdict.cell["defence"] == 0.08
    assert not verdict.useful
    assert "of little use" in verdict.text
    assert search.choose(pandas.DataFrame([row(0.9, 0.8)]), row(0.9, 0.03)).useful
    assert not search.choose(pandas.DataFrame([row(0.9, 0.8)]), row(0.9, 0.78)).useful


# A job that can be stopped


class Interrupted(Exception):
    pass


def test_a_stopped_search_ends_with_the_same_frame(case, tmp_path):
    model, benign, adversarial = case
    cells = search.grid([1, 3, 5], [1, 50, 101])
    whole = search.evaluate_cells(cells, model, benign, adversarial)

    class Stopping(nn.Module):
        calls = 0

        def __init__(self):
            super().__init__()
            self.inner = model

        def forward(self, images):
            Stopping.calls += 1
            if Stopping.calls == 10:
                raise Interrupted
            return self.inner(images)

    journal = Journal(Run(tmp_path, "design", {}), "cells")
    with pytest.raises(Interrupted):
        search.evaluate_cells(cells, Stopping(), benign, adversarial, journal)
    done = len(list(journal))
    assert 0 < done < len(cells)
    with open(journal.path, "a") as file:
        file.write('{"cell": {"parti')  # what a process leaves that dies while it writes
    assert search.evaluate_cells(cells, Stopping(), benign, adversarial, journal) == whole
    assert len(list(journal)) == len(cells)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """An untrained model is right now and then: enough for a search to go through its motions."""
    path = tmp_path_factory.mktemp("weights") / "model.pt"
    torch.manual_seed(0)
    torch.save(models.load("preact", classes=len(data.PHOTOS)).network.state_dict(), path)
    return str(path)


def arguments(weights, out, *more):
    sizes = ["--benign", "120", "--adversarial", "8", "--diagonals", "2", "6", "--steps", "1", "50", "--batch", "16"]
    return ["design", "--weights", weights, *sizes, "--min-defence", "50", "--out", str(out), *more]


@pytest.mark.slow(5)
def test_design_on_the_command_line(weights, tmp_path, capsys):
    status = main(arguments(weights, tmp_path / "a", "--max-loss", "100", "--measured", "10"))
    text = capsys.readouterr().out
    assert status == 0, text
    assert "JPEG 75: benign" in text
    assert "QS_OF, the step of the original-favoured bands, is 128. The largest QS_AF" in text
    files = {path.name for path in (tmp_path / "a").iterdir()}
    assert files >= {
        "config.json", "cells.csv", "front.csv", "verdict.json", "table.json", "heat_map.png", "front.png",
        "figure4.csv", "figure4.png",
    }  # fmt: skip
    table = json.loads((tmp_path / "a" / "table.json").read_text())
    assert table["provenance"]["parameters"]["max_loss"] == 100
    assert QTable.load(tmp_path / "a" / "table.json").to_list() == table["nnjpeg_qtables"][0]
    config = json.loads((tmp_path / "a" / "config.json").read_text())
    assert config["parameters"]["seed"] == 0
    assert torch.__version__.startswith(config["versions"]["torch"])
    cells = pandas.read_csv(tmp_path / "a" / "cells.csv")
    assert len(cells[(cells["partition"] == "diagonal") & (cells["colorspace"] == "rgb")]) == 4

    # Same seed, same result; and in the same folder, nothing is done again.
    assert main(arguments(weights, tmp_path / "b", "--max-loss", "100", "--measured", "10")) == 0
    for name in ("cells.csv", "figure4.csv"):
        assert (tmp_path / "b" / name).read_text() == (tmp_path / "a" / name).read_text()
    journal = (tmp_path / "a" / "cells.0.jsonl").read_text()
    assert main(arguments(weights, tmp_path / "a", "--max-loss", "100", "--measured", "10")) == 0
    assert (tmp_path / "a" / "cells.0.jsonl").read_text() == journal
    assert main(arguments(weights, tmp_path / "a", "--seed", "7")) == 1
    assert "holds a run with" in capsys.readouterr().err


@pytest.mark.slow(15)
def test_killed_half_way_and_two_ranks(weights, tmp_path):
    """SIGKILL in the middle of the cells, then torchrun with two processes goes on: the frame is as if undisturbed."""
    assert main(arguments(weights, tmp_path / "whole")) in (0, 1)
    journal = tmp_path / "killed" / "cells.0.jsonl"
    process = processes.start(main, arguments(weights, tmp_path / "killed"), folder=tmp_path)
    processes.kill_when(process, lambda: journal.exists() and len(journal.read_text().splitlines()) >= 3)
    assert not (tmp_path / "killed" / "cells.csv").exists()
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "nnjpeg"]
    command = [*launch, *arguments(weights, "killed")]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=500)
    assert (tmp_path / "killed" / "cells.csv").exists(), result.stdout + result.stderr
    for name in ("cells.csv", "figure4.csv", "verdict.json"):
        assert (tmp_path / "killed" / name).read_text() == (tmp_path / "whole" / name).read_text(), result.stderr


def test_a_fast_process_does_not_make_a_slow_one_leave_out_results(tmp_path, monkeypatch):
    """Two processes, here threads, of which one reads the journal when the other may have filled its share of it."""
    journal_of = [SlowToRead(Run(tmp_path, "test", {}), "cells") for _ in range(2)]
    here, gate = threading.local(), threading.Barrier(2, timeout=60)
    monkeypatch.setattr(distributed, "rank", lambda: here.rank)
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    monkeypatch.setattr(distributed, "is_main", lambda: here.rank == 0)
    monkeypatch.setattr(distributed, "barrier", gate.wait)

    def process(rank):
        here.rank = rank
        journal = journal_of[rank]
        journal.path, journal.delay = tmp_path / f"cells.{rank}.jsonl", rank / 2
        return shared([{"k": k} for k in range(7)], squares, journal)

    with ThreadPoolExecutor(2) as pool:
        for results in pool.map(process, range(2)):
            assert [result["square"] for result in results] == [k**2 for k in range(7)]


def squares(keys):
    return [{"square": key["k"] ** 2} for key in keys]


class SlowToRead(Journal):
    delay = 0.0

    def __iter__(self):
        time.sleep(self.delay)
        return super().__iter__()


def test_parameters_from_yaml(weights, tmp_path):
    config = tmp_path / "design.yaml"
    config.write_text(f"weights: {weights}\nbenign: 60\nadversarial: 4\ndiagonals: [3]\nsteps: [50]\nfigure4: false\n")
    main(["design", "--config", str(config), "--max-loss=100", "--out", str(tmp_path / "run")])
    assert json.loads((tmp_path / "run" / "config.json").read_text())["parameters"]["benign"] == 60
    assert not (tmp_path / "run" / "figure4.csv").exists()


def test_analyze_on_the_command_line(weights, tmp_path, capsys):
    assert main(["analyze", "--weights", weights, "--images", "3", "--out", str(tmp_path / "run")]) == 0
    assert "4:2:0: R" in capsys.readouterr().out
    frame = pandas.read_csv(tmp_path / "run" / "deviations.csv")
    assert len(frame) == 6 * 64
    np.testing.assert_allclose(frame["ratio"], frame["perturbations"] / frame["images"])
    statistics = FrequencyStatistics.load(tmp_path / "run" / "images.npz")
    np.testing.assert_allclose(statistics.deviations.ravel(), frame["images"])
    assert len(json.loads((tmp_path / "run" / "order.json").read_text())["order"]) == 64


# The model and the photographs that come with the package


@pytest.mark.slow(40)
def test_the_small_model_learns_the_photos(tmp_path):
    model = photos_model(tmp_path / "model.safetensors")
    test = data.photos("test", 700)
    share = accuracy(model, test)
    assert share >= 0.85  # 88% to 93%, by seed and by how a CPU adds up
    assert accuracy(photos_model(tmp_path / "model.safetensors"), test) == share
    adversarial, originals = search.attack_set(model, test, 50, attack="ifgsm", eps=16 / 255)
    assert accuracy(model, originals) == 1
    assert accuracy(model, adversarial) < 0.3
    assert (adversarial.pixels.int() - originals.pixels.int()).abs().max() <= 16


@pytest.mark.parametrize("attack", ["fgsm", "ifgsm", "pgd"])
def test_attacks_stay_in_the_ball(case, attack):
    model, benign, _ = case
    images = benign.pixels[:10] / 255
    options = {"steps": 5} if attack != "fgsm" else {}
    adversarial = attacks.ATTACKS[attack](model, images, benign.labels[:10], 4 / 255, **options)
    assert (adversarial - images).abs().max() <= 4 / 255 + 1e-6
    assert 0 <= adversarial.min() <= adversarial.max() <= 1
    assert not adversarial.requires_grad
    before = nn.functional.cross_entropy(model(images), benign.labels[:10])
    assert nn.functional.cross_entropy(model(adversarial), benign.labels[:10]) > before


# Folders of images, and bad input


class Returning(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, images):
        return self.value(images)


def test_models_that_return_something_else():
    images = torch.rand(4, 3, 8, 8)
    with pytest.raises(TypeError, match=r"one tensor of logits .* got tuple"):
        models.Classifier(Returning(lambda x: (x, x)))(images)
    with pytest.raises(TypeError, match=r"got a tensor of shape \(4, 3, 8, 8\)"):
        models.Classifier(Returning(lambda x: x))(images)
    with pytest.raises(ValueError, match="NaN for 4 of 4 images"):
        models.Classifier(Returning(lambda x: x.flatten(1) * torch.nan))(images)


def test_models_by_name(tmp_path):
    with pytest.raises(ValueError, match="model of timm or torchvision, got 'nonsense'"):
        models.load("nonsense")
    with pytest.raises(ValueError, match="mean and std must be three numbers"):
        models.Classifier(nn.Identity(), mean=(0.5,))
    path = tmp_path / "weights.pt"
    torch.save({"state_dict": torchvision.models.squeezenet1_1(num_classes=5).state_dict()}, path)
    squeezenet = models.load("squeezenet1_1", path, classes=5)
    assert squeezenet.mean.flatten().tolist() == pytest.approx((0.485, 0.456, 0.406))
    assert (squeezenet.size, squeezenet.resize) == (224, 256)
    safetensors.torch.save_file(
        timm.create_model("mobilenetv2_050", num_classes=5).state_dict(), tmp_path / "a.safetensors"
    )
    mobilenet = models.load(
        "mobilenetv2_050", tmp_path / "a.safetensors", classes=5, std=(0.5,) * 3, size=64, pad_type="same"
    )
    assert mobilenet(torch.rand(2, 3, 64, 64)).shape == (2, 5)
    assert mobilenet.preprocess()(Image.new("RGB", (90, 100))).shape == (3, 64, 64)
    torch.save({"a": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="does not fit preact: "):
        models.load("preact", path, classes=7)
    path.write_bytes(b"junk")
    with pytest.raises(ValueError, match="not a file of weights"):
        models.load("preact", path, classes=7)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--data", ".", "--arch", "resnet18"], "does not fit resnet18"),
        (["--data", "nowhere", "--arch", "preact"], "data: there is no nowhere"),
        (["--data", "nowhere"], "give the name of a model"),
        (["--arch", "resnet18"], "photos come with a model of their own"),
        (["--adversarial", "30"], "30 are needed, but the model labels"),
        (["--adversarial", "5000"], r"adversarial must be at most benign \(30\), got 5000"),
        (["--attack", "magic"], "attack must be one of fgsm, ifgsm, pgd, got 'magic'"),
        (["--diagonals"], "diagonals must not be empty"),
        (["--device", "abacus"], "device: 'abacus' is unavailable"),
    ],
)
def test_bad_arguments(weights, tmp_path, capsys, more, message):
    given = ["design", "--benign", "30", "--adversarial", "2", "--out", str(tmp_path / "run"), "--weights", weights]
    try:
        status = main([*given, *more])
    except SystemExit as exit_:
        status = exit_.code
    assert status in (1, 2)
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "run").exists()
