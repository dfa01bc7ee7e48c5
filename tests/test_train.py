"""Training: its objectives against their formulas, resume bit for bit, several processes as one, bad input."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pandas
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from nnjpeg import NN_TABLE
from nnjpeg.cli import main
from nnjpeg.robust import attacks, chain, checkpoints, data, fitting, models, training
from nnjpeg.robust.ensemble import Ensemble
from nnjpeg.robust.objectives import Adversarial, Draws, Free, Noisy, Plain, Vaccination, jpeg
from nnjpeg.transforms import nn_jpeg


@pytest.fixture(scope="module")
def batch():
    images = data.photos("train", 32)
    return images.pixels / 255, images.labels


@pytest.fixture
def model():
    return fitting.untrained(3).train()


@pytest.fixture(scope="module")
def engine():
    return training.accelerator()


def tensors_of(path):
    return checkpoints.read(path)[0]


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# Objectives


def test_noisy_loss_is_equation_9(model, batch):
    images, labels = batch
    model.eval()  # so that the two terms do not see one another
    (loss,) = Noisy(30, noise=0.05, xi=0.7).losses(model, images, labels, Draws((1, 2)))
    compressed = nn_jpeg((images * 255).round().to(torch.uint8), NN_TABLE, quality=30) / 255
    noise = Draws((1, 2)).normal(*images.shape)
    assert abs(noise.std().item() - 1) < 0.01
    noisy = (compressed + 0.05 * noise).clamp(0, 1)
    expected = 0.7 * functional.cross_entropy(model(images), labels) + 0.3 * functional.cross_entropy(
        model(noisy), labels
    )
    torch.testing.assert_close(loss, expected)
    (without,) = Noisy(30, noise=0, xi=0).losses(model, images, labels, Draws((1, 2)))
    torch.testing.assert_close(without, functional.cross_entropy(model(compressed), labels))


def test_batch_norm_sees_both_terms_together(model, batch):
    images, labels = batch
    twin = fitting.untrained(3).train()
    list(Noisy(30, noise=0).losses(model, images, labels, Draws((0,))))
    compressed = nn_jpeg((images * 255).round().to(torch.uint8), NN_TABLE, quality=30) / 255
    twin(torch.cat([images, compressed]))
    assert same(dict(model.named_buffers()), dict(twin.named_buffers()))


def test_vaccination_sees_jpeg_alone(model, batch):
    images, labels = batch
    model.eval()
    (loss,) = Vaccination(40).losses(model, images, labels, Draws((0,)))
    pixels = jpeg(40)((images * 255).round().to(torch.uint8))
    torch.testing.assert_close(loss, functional.cross_entropy(model(pixels / 255), labels))


@pytest.mark.parametrize("objective", [Adversarial.fast(8 / 255), Adversarial.pgd(8 / 255)], ids=["fast", "pgd"])
def test_adversarial_training_trains_on_an_attack(model, batch, objective):
    images, labels = batch
    seen = []
    model.eval().register_forward_pre_hook(lambda module, args: seen.append(args[0].detach()))
    (loss,) = objective.losses(model, images, labels, Draws((0,)))
    assert len(seen) == objective.steps + 1
    start, end = seen[0], seen[-1]
    for x in (start, end):
        assert (x - images).abs().max() <= 8 / 255 + 1e-6
        assert 0 <= x.min() <= x.max() <= 1
    assert loss > functional.cross_entropy(model(start), labels)
    assert loss.requires_grad


def test_fast_takes_one_step_of_five_quarters_of_eps(model, batch):
    images, labels = batch
    model.eval()
    seen = []
    model.register_forward_pre_hook(lambda module, args: seen.append(args[0].detach()))
    list(Adversarial.fast(4 / 255).losses(model, images, labels, Draws((5,))))
    start = attacks.project(images + 4 / 255 * (2 * Draws((5,)).uniform(*images.shape) - 1), images, 4 / 255)
    torch.testing.assert_close(seen[0], start)
    leaf = start.clone().requires_grad_()
    gradient = torch.autograd.grad(functional.cross_entropy(model(leaf), labels), leaf)[0]
    expected = attacks.project(start + 5 / 255 * gradient.sign(), images, 4 / 255)
    assert ((seen[1] - expected).abs() < 1e-6).float().mean() > 0.999  # but for gradients that are 0 to rounding


def test_free_replays_with_a_growing_perturbation(model, batch):
    images, labels = batch
    eps, objective, seen = 4 / 255, Free(4 / 255, replays=3), []
    model.eval().register_forward_pre_hook(lambda module, args: seen.append(args[0].detach()))
    expected = torch.zeros_like(images)
    for turn, loss in enumerate(objective.losses(model, images, labels, Draws((0,)))):
        torch.testing.assert_close(seen[turn], (images + expected).clamp(0, 1))
        leaf = expected.clone().requires_grad_()
        gradient = torch.autograd.grad(
            functional.cross_entropy(fitting.untrained(3).eval()((images + leaf).clamp(0, 1)), labels), leaf
        )[0]
        expected = (expected + eps * gradient.sign()).clamp(-eps, eps)
        loss.backward()
    assert turn == 2
    kept = objective.state()["delta"]
    torch.testing.assert_close(kept, expected)
    assert kept.abs().max() <= eps
    next(objective.losses(model, images, labels, Draws((0,))))
    torch.testing.assert_close(seen[-1], (images + kept).clamp(0, 1))  # it goes on from batch to batch


def test_random_numbers_are_the_batchs_not_the_processs():
    whole = Draws((7, 1)).normal(8, 3)
    halves = [Draws((7, 1), share=share, shares=2).normal(4, 3) for share in range(2)]
    assert torch.equal(torch.cat(halves), whole)
    assert not torch.equal(Draws((7, 2)).normal(8, 3), whole)
    uniform = Draws((0,)).uniform(4096)
    assert 0 <= uniform.min() < 0.01 < 0.99 < uniform.max() < 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Noisy(0, 0.1), "quality must be an integer in 1..100, got 0"),
        (lambda: Noisy(50, -1), "noise must be at least 0, got -1"),
        (lambda: Noisy(50, 0.1, xi=1.5), r"xi must be in 0..1, got 1.5"),
        (lambda: Vaccination(101), "quality must be an integer in 1..100, got 101"),
        (lambda: Free(0.1, 0), "replays must be an integer in 1..1000, got 0"),
        (lambda: chain.noisy([30, 40], noise=0.1), r"qualities must fall .* got \[30, 40\]"),
        (lambda: chain.noisy([30, 30], noise=0.1), r"qualities must fall"),
        (lambda: chain.noisy([], noise=0.1), r"qualities must fall"),
    ],
)
def test_objectives_refuse(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# Schedules and recipes


def test_schedules():
    paper = training.Exponential(0.005, 0.94)
    assert paper(0, 2) == paper(0.99, 2) == 0.005
    assert paper(1.5, 2) == pytest.approx(0.0047)
    line = training.Piecewise(((0, 0), (3, 0.4), (6, 0.04)))
    assert [line(epoch, 6) for epoch in (-1, 0, 1.5, 3, 4.5, 6, 9)] == pytest.approx([0, 0, 0.2, 0.4, 0.22, 0.04, 0.04])
    cycle = training.OneCycle(0.1)
    assert [cycle(share, 1) for share in (0, 0.15, 0.3, 1)] == pytest.approx([0, 0.05, 0.1, 0])


def test_recipes_of_the_papers():
    stages = chain.noisy(noise=2 / 255)
    assert [(stage.start, stage.name) for stage in stages] == [
        ("M", "M90"), ("M90", "M80"), ("M80", "M70"), ("M70", "M60"), ("M60", "M50"), ("M50", "M40"), ("M40", "M30"),
    ]  # fmt: skip
    assert sum(stage.optimization.epochs for stage in stages) == 14
    assert {stage.objective.xi for stage in stages} == {0.9}
    phases = chain.fast(2 / 255)
    assert [(one.size, one.batch, one.optimization.epochs) for one in phases] == [
        (128, 512, 6), (224, 224, 6), (288, 128, 3),
    ]  # fmt: skip
    assert [one.start for one in phases] == [None, "fast128", "fast224"]
    ends = [(one.optimization.schedule(0, 0), one.optimization.schedule(99, 0)) for one in phases]
    assert ends == [pytest.approx(pair) for pair in ((0, 0.04), (0.04, 0.004), (0.004, 0.0004))]
    assert phases[0].optimization.schedule(3, 6) == 0.4
    (free,) = chain.free(2 / 255)
    assert (free.optimization.epochs, free.objective.updates, free.batch) == (22.5, 4, 256)
    assert [free.optimization.schedule(e, 0) for e in (7, 8, 15.1)] == pytest.approx([0.1, 0.01, 0.001])


# The engine


class Small(nn.Module):
    """Not one of ours: any module will do."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 5, 4), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(), nn.LazyLinear(7)
        )
        self(torch.zeros(2, 3, 64, 64))

    def forward(self, images):
        return self.layers(images)


def small(seed=0):
    torch.manual_seed(seed)
    return Small()


def numbered(count=96, **options):
    images = data.photos("train", count)
    return DataLoader(TensorDataset(images.pixels, images.labels), 16, shuffle=True, drop_last=True, **options)


def train_small(engine, objective, **options):
    options = {"loader": numbered(), "optimization": training.Optimization(2), **options}
    return training.fit(small(), objective, engine=engine, **options).state_dict()


OBJECTIVES = {
    "plain": Plain,
    "noisy": lambda: Noisy(50, 8 / 255),
    "vaccination": lambda: Vaccination(50),
    "fast": lambda: Adversarial.fast(8 / 255),
    "free": lambda: Free(8 / 255),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_trains_any_module(engine, name):
    lines = []
    before = small().state_dict()
    longer = {"optimization": training.Optimization(3)}
    after = train_small(engine, OBJECTIVES[name](), log=lines.append, log_every=3, **longer)
    assert not same(before, after)
    assert [line["step"] for line in lines] == [3, 6, 9, 12, 15, 18]
    assert all(np.isfinite(line["loss"]) for line in lines)
    assert lines[0]["rate"] == 0.005
    assert lines[-1]["rate"] == pytest.approx(0.005 * 0.94**2)
    assert same(after, train_small(engine, OBJECTIVES[name](), **longer))
    assert not same(after, train_small(engine, OBJECTIVES[name](), seed=(1,), **longer))


class Stop(Exception):
    pass


class Stopping:
    """An objective that is pulled out after some batches."""

    def __init__(self, objective, batches):
        self.objective, self.left = objective, batches

    def __getattr__(self, name):
        return getattr(self.objective, name)

    def losses(self, *arguments):
        if not self.left:
            raise Stop
        self.left -= 1
        return self.objective.losses(*arguments)


def noise_on_load(image):
    """Draws from every generator that a loader may use."""
    pixel, label = image
    return (pixel + torch.rand(1) + np.random.rand()).clamp(0, 255).to(torch.uint8), label


class Noised(torch.utils.data.Dataset):
    def __init__(self):
        images = data.photos("train", 96)
        self.pairs = list(zip(images.pixels, images.labels, strict=True))

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, index):
        return noise_on_load(self.pairs[index])


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_training_ends_as_an_undisturbed_one(engine, tmp_path, name, workers):
    """Dropout, momentum, batch norm, a loader that draws at random: all go on as if nothing had been."""
    loader = DataLoader(Noised(), 16, shuffle=True, drop_last=True, num_workers=workers)
    whole = train_small(engine, OBJECTIVES[name](), loader=loader)
    path = tmp_path / "state.safetensors"
    with pytest.raises(Stop):
        train_small(engine, Stopping(OBJECTIVES[name](), 10), loader=loader, state=path, save_every=4)
    assert checkpoints.read(path)[1]["done"] == 8  # in the midst of the second epoch
    assert same(train_small(engine, OBJECTIVES[name](), loader=loader, state=path), whole)


def test_accumulated_gradients_are_those_of_a_larger_batch(engine):
    """Without batch norm and dropout, two batches of 16 to a step are one of 32."""
    images = data.photos("train", 64)

    def run(batch, engine):
        torch.manual_seed(0)
        linear = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 7))
        loader = DataLoader(TensorDataset(images.pixels, images.labels), batch, drop_last=True)
        schedule = training.Exponential(0.001, 1)
        return training.fit(linear, Plain(), loader, training.Optimization(2, schedule, weight_decay=0), engine)

    larger = run(32, engine).state_dict()
    accumulating = training.accelerator(accumulate=2)  # Accelerate keeps this for the whole process
    try:
        twice = run(16, accumulating).state_dict()
        with pytest.raises(ValueError, match="accumulate must be 1 where a batch is replayed, got 2"):
            train_small(accumulating, Free(0.1))
    finally:
        training.accelerator()
    for name in larger:
        torch.testing.assert_close(twice[name], larger[name], rtol=1e-4, atol=1e-6)


def test_loaders_and_states_that_will_not_do(engine, tmp_path):
    images = data.photos("train", 20)
    dataset = TensorDataset(images.pixels, images.labels)
    with pytest.raises(ValueError, match="must leave out an incomplete last batch"):
        train_small(engine, Plain(), loader=DataLoader(dataset, 16))
    with pytest.raises(ValueError, match=r"epochs: 0.1 of 4 batches are less than one step \(training\)"):
        train_small(
            engine, Plain(), loader=DataLoader(dataset, 5, drop_last=True), optimization=training.Optimization(0.1)
        )
    with pytest.raises(ValueError, match="loader gives no batch"):
        train_small(engine, Plain(), loader=DataLoader(dataset, 64, drop_last=True))

    class Endless(IterableDataset):
        def __iter__(self):
            return iter(dataset)

    with pytest.raises(ValueError, match="loader must have a length"):
        train_small(engine, Plain(), loader=DataLoader(Endless(), 4, drop_last=True))
    path = tmp_path / "state.safetensors"
    with pytest.raises(Stop):
        train_small(engine, Stopping(Plain(), 5), state=path, save_every=4)
    with pytest.raises(ValueError, match=r"state.safetensors: a training with objective = 'plain', this one"):
        train_small(engine, Noisy(50, 0.1), state=path)
    with pytest.raises(
        ValueError, match=r"state.safetensors: a training with optimization = .*0.005.* this one has .*0.5"
    ):
        train_small(engine, Plain(), state=path, optimization=training.Optimization(2, training.Exponential(0.5)))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"state.safetensors: a damaged checkpoint"):
        train_small(engine, Plain(), state=path)


def test_a_training_that_diverges_says_so(engine):
    with pytest.raises(ValueError, match=r"the loss is (nan|inf) at step \d+, learning rate 1e\+30"):
        train_small(engine, Plain(), optimization=training.Optimization(20, training.Exponential(1e30, 1)))


def test_mixed_precision(tmp_path):
    """In a process of its own: Accelerate has one precision a process."""
    code = (
        "from nnjpeg.robust import fitting, training, data, objectives\n"
        "engine = training.accelerator(precision='bf16')\n"
        "loader = fitting.in_memory(data.photos('train', 64), 16)\n"
        "seen = []\n"
        "model = fitting.untrained()\n"
        "model.network.stem.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))\n"
        "training.fit(model, objectives.Noisy(50, 0.03), loader, training.Optimization(1), engine)\n"
        "print(set(map(str, seen)), {str(p.dtype) for p in model.parameters()})\n"
    )
    result = run([sys.executable, "-c", code], tmp_path)
    assert result.stdout.strip() == "{'torch.bfloat16'} {'torch.float32'}", result.stderr


# Checkpoints


def test_a_checkpoint_says_what_it_is(tmp_path):
    model = fitting.untrained(1)
    checkpoints.save_model(tmp_path / "a.safetensors", model, {"seed": 1})
    again, facts = checkpoints.load(tmp_path / "a.safetensors", arch="preact", outputs=7)
    assert facts["seed"] == 1
    assert same(again.state_dict(), model.state_dict())
    assert not again.training
    assert torch.equal(again.mean, model.mean)
    # The file is an ordinary file of weights too.
    assert same(load_file(tmp_path / "a.safetensors"), model.network.state_dict())
    assert same(models.load("preact", tmp_path / "a.safetensors", classes=7).state_dict(), model.state_dict())
    fresh = checkpoints.untrained(tmp_path / "a.safetensors", seed=5)
    assert same(fresh.state_dict(), fitting.untrained(5).state_dict())


def test_checkpoints_that_will_not_do(tmp_path):
    path = tmp_path / "a.safetensors"
    with pytest.raises(FileNotFoundError, match=r"there is no checkpoint .*a.safetensors"):
        checkpoints.load(path)
    checkpoints.save_model(path, fitting.untrained(), {})
    with pytest.raises(ValueError, match="a model of architecture preact; resnet18 is wanted"):
        checkpoints.load(path, arch="resnet18")
    with pytest.raises(ValueError, match="a model of 7 classes; 10 are wanted"):
        checkpoints.load(path, outputs=10)
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[: len(whole) // 2], b"", b"junk" * 99):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="a damaged checkpoint, or none at all"):
            checkpoints.load(path)
    flipped = bytearray(whole)
    flipped[-1000] ^= 1
    path.write_bytes(flipped)
    with pytest.raises(ValueError, match="its tensors are not those that were written"):
        checkpoints.load(path)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="weights without the facts of training"):
        checkpoints.load(path)
    checkpoints.write(path, {"a": torch.zeros(1)}, {"done": 1})
    with pytest.raises(ValueError, match="a state of training, not a model"):
        checkpoints.load(path)
    with pytest.raises(ValueError, match=r"only what models.load has made"):
        checkpoints.save_model(path, models.Classifier(nn.Flatten()), {})


def test_on_a_full_disk_the_last_good_checkpoint_survives(tmp_path):
    path = tmp_path / "a.safetensors"
    checkpoints.write(path, {"a": torch.arange(10.0)}, {"done": 1})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))  # what a write beyond it gets is an OSError
    try:
        with pytest.raises(OSError, match=r"a.safetensors"):
            checkpoints.write(path, {"a": torch.zeros(100_000)}, {"done": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    tensors, facts = checkpoints.read(path)
    assert facts["done"] == 1
    assert torch.equal(tensors["a"], torch.arange(10.0))
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


# The command


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Of a model that was trained a little: one that is random makes much of every rounding."""
    path = tmp_path_factory.mktemp("weights") / "m.safetensors"
    checkpoints.save_model(path, fitting.photos_model(patches=448, epochs=2), {})
    return str(path)


def arguments(weights, out, *more):
    sizes = ["--patches", "64", "--batch", "16", "--images", "40", "--save-every", "1", "--epochs", "1.5"]
    chain_of = ["--qualities", "[90,50,30]", "--members", "[90,30]"]
    return ["train", "--weights", weights, *sizes, *chain_of, "--out", str(out), *more]


@pytest.fixture(scope="module")
def trained(weights, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    assert main(arguments(weights, folder)) == 0
    return folder


def test_the_chain(trained, weights, capsys):
    names = {path.name for path in trained.iterdir()}
    assert names == {
        "config.json", "M.safetensors", "M90.safetensors", "M50.safetensors", "M30.safetensors", "train.0.jsonl",
        "ensemble.json", "results.csv",
    }  # fmt: skip
    _, facts = checkpoints.load(trained / "M30.safetensors", arch="preact", outputs=7)
    assert facts["before"] == ["M", "M90", "M50"]
    assert facts["stage"]["quality"] == 30
    assert facts["stage"]["xi"] == 0.9
    assert facts["stage"]["noise"] == pytest.approx(8 / 255)
    assert facts["stage"]["table"] == NN_TABLE.to_list()
    assert facts["stage"]["optimization"]["epochs"] == 1.5
    assert torch.__version__.startswith(facts["versions"]["torch"])
    lines = [json.loads(line) for line in (trained / "train.0.jsonl").read_text().splitlines()]
    assert [line["stage"] for line in lines] == ["M90", "M50", "M30"]
    assert all(line["step"] == 6 for line in lines)
    results = pandas.read_csv(trained / "results.csv")
    assert list(results["model"]) == ["M", "M90", "M90", "M50", "M50", "M30", "M30", "ensemble"]
    assert ((results["low"] <= results["accuracy"]) & (results["accuracy"] <= results["high"])).all()
    # Each stage starts from the one before, not from M.
    assert not same(tensors_of(trained / "M50.safetensors"), tensors_of(trained / "M90.safetensors"))
    # Done is done: the same command again trains nothing.
    stamps = {path.name: path.stat().st_mtime_ns for path in trained.glob("*.safetensors")}
    assert main(arguments(weights, trained)) == 0
    assert stamps == {path.name: path.stat().st_mtime_ns for path in trained.glob("*.safetensors")}
    capsys.readouterr()
    assert main(arguments(weights, trained, "--xi", "0.5")) == 1
    assert "holds a run with xi = 0.9, this one has 0.5" in capsys.readouterr().err


def run(command, folder, **options):
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=500, **options)


def kill_when(process, ready):
    deadline = time.monotonic() + 300
    while process.poll() is None and not ready():
        assert time.monotonic() < deadline
        time.sleep(0.001)
    assert process.poll() is None, "it ended before it could be killed"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def test_killed_in_mid_epoch_and_resumed(trained, weights, tmp_path):
    """SIGKILL, again and again: every model ends with the same bits."""
    folder = tmp_path / "killed"
    command = [sys.executable, "-m", "nnjpeg", *arguments(weights, folder)]
    for name in ("M90", "M50"):
        state = folder / f"{name}.state.safetensors"
        with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            kill_when(process, state.exists)
        assert state.exists()
        assert not (folder / f"{name}.safetensors").exists()
        assert checkpoints.read(state)[1]["done"] < 6
    result = run(command, tmp_path)
    assert result.returncode == 0, result.stderr
    for name in ("M90", "M50", "M30"):
        assert same(tensors_of(folder / f"{name}.safetensors"), tensors_of(trained / f"{name}.safetensors")), name
    steps = [
        (line["stage"], line["step"]) for line in map(json.loads, (folder / "train.0.jsonl").read_text().splitlines())
    ]
    assert steps == [("M90", 6), ("M50", 6), ("M30", 6)]
    assert not list(folder.glob("*.state.safetensors"))


TWO = """
import sys
from nnjpeg.robust import checkpoints, data, fitting, objectives, training

start, path, name = sys.argv[1:]
objective = {
    "noisy": objectives.Noisy(30, 0.03), "free": objectives.Free(0.03), "fast": objectives.Adversarial.fast(0.03),
}[name]
engine = training.accelerator()
model = checkpoints.load(start)[0].double()
training.fit(
    model, objective, fitting.in_memory(data.photos("train", 64), 16), training.Optimization(2), engine,
    augment=lambda images, draws: fitting.photos_augment(images, draws).double(),
)
if engine.is_main_process:
    checkpoints.write(path, model.network.state_dict(), {"processes": engine.num_processes})
"""


@pytest.mark.parametrize("name", ["noisy", "fast", "free"])
def test_two_processes_end_as_one(weights, tmp_path, name):
    """gloo; in double precision, so that nothing hides behind rounding: batch norm, noise and order are shared."""
    (tmp_path / "two.py").write_text(TWO)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for start in ([sys.executable], launch):
        path = f"{len(start)}.safetensors"
        result = run([*start, "two.py", weights, path, name], tmp_path)
        assert result.returncode == 0, result.stderr
    (one, _), (two, facts) = (checkpoints.read(tmp_path / f"{len(start)}.safetensors") for start in ([0], launch))
    assert facts["processes"] == 2
    for key in one:
        torch.testing.assert_close(two[key], one[key], rtol=1e-10, atol=1e-10)


def test_two_processes_in_half_precision(trained, weights, tmp_path):
    """bf16 comes as near to single precision as its eight bits allow; batch norm is summed in single."""
    folder = tmp_path / "half"
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "nnjpeg"]
    result = run([*launch, *arguments(weights, folder, "--precision", "bf16")], tmp_path)
    assert result.returncode == 0, result.stderr
    assert "FutureWarning" not in result.stderr
    a, b = tensors_of(folder / "M90.safetensors"), tensors_of(trained / "M90.safetensors")
    changed = False
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=0.1, atol=0.05)
        changed |= not torch.equal(a[name], b[name])
    assert changed


def test_two_processes_go_on_where_one_was_killed(trained, weights, tmp_path):
    folder = tmp_path / "killed"
    command = [sys.executable, "-m", "nnjpeg", *arguments(weights, folder)]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        kill_when(process, (folder / "M50.state.safetensors").exists)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "nnjpeg"]
    result = run([*launch, *arguments(weights, folder)], tmp_path)
    assert result.returncode == 0, result.stderr
    a, b = tensors_of(folder / "M30.safetensors"), tensors_of(trained / "M30.safetensors")
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-2, atol=1e-3)


def test_a_folder_of_images_and_a_model_of_timm(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for label in ("cat", "dog"):
            (tmp_path / split / label).mkdir(parents=True)
            for k in range(4):
                pixels = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / split / label / f"{k}.png")
    options = ["--model-options", '{"classes": 2}', "--size", "32", "--batch", "4", "--workers", "2"]
    torch.manual_seed(0)
    network, _ = models.create("mobilenetv2_050", False, 2, {})
    torch.save(network.state_dict(), tmp_path / "w.pt")
    command = [
        "train", "--data", str(tmp_path / "train"), "--val", str(tmp_path / "val"), "--arch", "mobilenetv2_050",
        "--weights", str(tmp_path / "w.pt"), *options, "--qualities", "[50]", "--members", "[50]", "--epochs", "1",
    ]  # fmt: skip
    assert main([*command, "--out", str(tmp_path / "run")]) == 0, capsys.readouterr().err
    ensemble = Ensemble.load(tmp_path / "run")
    assert ensemble.names == ("M", "M50")
    assert ensemble(torch.rand(2, 3, 32, 32)).shape == (2, 2)
    fast = [*command, "--method", "fast", "--epochs", "3", "--batch", "8", "--out", str(tmp_path / "fast")]
    assert main(fast) == 0, capsys.readouterr().err
    assert checkpoints.read(tmp_path / "fast" / "fast.safetensors")[1]["before"] == ["fast128", "fast224"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--qualities", "[30,90]"], r"qualities must fall from one model of the chain to the next, got \[30, 90\]"),
        (["--members", "[75]"], r"members must be qualities of the chain"),
        (["--batch", "1000"], "loader gives no batch"),
        (["--xi", "2"], r"xi must be in 0..1, got 2"),
        (["--table", "nowhere.json"], "nowhere.json"),
        (["--data", "nowhere"], "give the name of a model"),
        (["--data", "nowhere", "--arch", "resnet18"], "does not fit resnet18"),
        (["--method", "magic"], None),
    ],
)
def test_train_refuses(weights, tmp_path, capsys, more, message):
    try:
        status = main(arguments(weights, tmp_path / "run", *more))
    except SystemExit as exit_:
        status = exit_.code
    assert status in (1, 2)
    assert re.search(message or "magic", capsys.readouterr().err)
