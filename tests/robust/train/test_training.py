"""The engine of all trainings: schedules, resuming, precision, and checkpoints that survive."""

import functools
import resource
import signal

import numpy as np
import processes
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from nnjpeg.robust import data, models
from nnjpeg.robust.record import checkpoints
from nnjpeg.robust.train import chain
from nnjpeg.robust.train import engine as training
from nnjpeg.robust.train import photos as fitting
from nnjpeg.robust.train.objectives import Adversarial, Free, Noisy, Plain, Vaccination


@pytest.fixture(scope="module")
def engine():
    return training.accelerator()


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


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


photos = functools.cache(data.photos)


def numbered(count=96, **options):
    images = photos("train", count)
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
        images = photos("train", 96)
        self.pairs = list(zip(images.pixels, images.labels, strict=True))

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, index):
        return noise_on_load(self.pairs[index])


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow(2))])
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

    with pytest.raises(ValueError, match="batches must be the loader's length, 5, got 4"):
        train_small(engine, Plain(), loader=DataLoader(dataset, 4, drop_last=True), batches=4)
    with pytest.raises(ValueError, match="loader gave 5 batches in epoch 0, where 6 are an epoch"):
        train_small(engine, Plain(), loader=DataLoader(Stream(dataset), 4, drop_last=True), batches=6)
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


class Stream(IterableDataset):
    """A data set without a length."""

    def __init__(self, dataset):
        self.dataset = dataset

    def __iter__(self):
        return iter(self.dataset)


@pytest.mark.parametrize("batches", [None, 5])
def test_a_loader_without_a_length(engine, batches):
    """Its epochs are those of the same images with a length."""
    images = data.photos("train", 20)
    dataset = TensorDataset(images.pixels, images.labels)

    def trained(loader, **options):
        model = small()
        model.layers[3] = nn.Identity()  # dropout draws from torch's generator, as loaders do
        return training.fit(model, Plain(), loader, training.Optimization(2), engine, **options).state_dict()

    expected = trained(DataLoader(dataset, 4, drop_last=True))
    streams = [DataLoader(Stream(dataset), 4, drop_last=True), Batches(DataLoader(dataset, 4, drop_last=True))]
    for loader in streams:
        assert same(expected, trained(loader, batches=batches))


class Batches:
    """Anything that gives batches, again and again."""

    def __init__(self, loader):
        self.loader = loader

    def __iter__(self):
        return iter(self.loader)


def test_a_training_that_diverges_says_so(engine):
    with pytest.raises(ValueError, match=r"the loss is (nan|inf) at step \d+, learning rate 1e\+30"):
        train_small(engine, Plain(), optimization=training.Optimization(20, training.Exponential(1e30, 1)))


def train_in_mixed_precision():
    engine = training.accelerator(mixed_precision="bf16")
    loader, seen = fitting.in_memory(data.photos("train", 64), 16), []
    model = fitting.untrained()
    model.network.stem.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    training.fit(model, Noisy(50, 0.03), loader, training.Optimization(1), engine)
    print(set(map(str, seen)), {str(p.dtype) for p in model.parameters()})


@pytest.mark.slow
def test_mixed_precision(tmp_path):
    """In a process of its own: Accelerate has one precision a process."""
    printed = processes.alone(train_in_mixed_precision, folder=tmp_path)
    assert printed.strip() == "{'torch.bfloat16'} {'torch.float32'}"


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
