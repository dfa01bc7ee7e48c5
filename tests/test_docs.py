"""Every code block of the documentation runs, every command in it is accepted, and every link leads somewhere."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import documents
import pytest
from PIL import Image

PAGES = documents.pages() if (documents.ROOT / "docs").exists() else {}

pytestmark = [
    pytest.mark.skipif(not PAGES, reason="the documentation is not here"),
    pytest.mark.filterwarnings("ignore:The image decoding and encoding capabilities of TorchVision"),
]

# Their blocks are run, and more than that, by test_recipes.py, test_onnx.py and test_readme.py.
TESTED_ELSEWHERE = ("README.md", "docs/how-to/recipes.md", "docs/how-to/onnx.md")
RUN = sorted(name for name in PAGES if name.startswith("docs/") and name not in TESTED_ELSEWHERE)


@pytest.fixture
def folder(tmp_path, photos, monkeypatch):
    """The working directory that the pages speak of: eight PNG images of two classes, and a camera's JPEG file."""
    (tmp_path / "camera").mkdir()
    Image.fromarray(photos["coffee"]).save(tmp_path / "camera/0.jpg", quality=80)
    for name in ("astronaut", "chelsea"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for k in range(4):
            Image.fromarray(photos[name][100 : 164 + k, 60 * k : 64 + 60 * k]).save(
                tmp_path / "photos" / name / f"{k}.png"
            )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    return tmp_path


@pytest.fixture
def short(request, monkeypatch):
    """The parts of the examples that take minutes: a model from a file, few and short attacks."""
    from nnjpeg.robust.judge import assess
    from nnjpeg.robust.train import photos as fitting

    real, model = assess.evaluate, request.getfixturevalue("model")

    def evaluate(*arguments, attacked, **options):
        return real(*arguments, attacked=min(attacked, 4), steps=1, queries=3, **options)

    monkeypatch.setattr(assess, "evaluate", evaluate)
    monkeypatch.setattr(fitting, "photos_model", lambda: model)


@pytest.fixture
def accepted(monkeypatch):
    """A function that has the command line check a command without running it."""
    from nnjpeg.cli import demo, experiments, main, selftest

    for module in (demo, selftest):
        monkeypatch.setattr(module, "run", lambda options: 0)
    monkeypatch.setattr(experiments, "run", lambda name, *given: 0)

    def accepted(words):
        try:
            return main(words) == 0
        except SystemExit:
            return False

    return accepted


def ours(command):
    """The arguments of a command of nnjpeg, or None: ``nnjpeg ...``, ``torchrun ... -m nnjpeg ...``, after a ``&&``."""
    words = shlex.split(command.rpartition("&&")[2])
    if words[0] == "torchrun":
        words = words[words.index("-m") + 1 :]
    elif words[:3] == ["python", "-m", "nnjpeg"] and len(words) > 3:
        words = words[2:]
    return words[1:] if words[0] == "nnjpeg" else None


@pytest.mark.slow(8)
@pytest.mark.parametrize("page", [page for page in RUN if documents.python_blocks(page)])
def test_the_code_of_a_page_runs(page, folder, request, monkeypatch):
    """Its Python blocks in order, in one namespace, with what ``nnjpeg compress`` has written in between.

    A block that begins with the name of a file, ``# mine.py``, is written there as well.
    """
    names = {"__name__": "page"}
    monkeypatch.syspath_prepend(folder)
    if "photos_model" in PAGES[page]:
        request.getfixturevalue("short")
    for language, code in documents.blocks(PAGES[page]):
        if language == "python":
            if file := re.match(r"# (\w+[.]py)\n", code):
                (folder / file[1]).write_text(code)
            exec(compile(code, page, "exec"), names)
            continue
        for command in documents.commands(code):
            if command.startswith("nnjpeg compress"):
                subprocess.run(command, shell=True, check=True, capture_output=True, timeout=60)


@pytest.mark.parametrize("page", PAGES)
def test_commands_are_accepted(page, accepted, capsys):
    """Every option is one of the command, with a value that it takes."""
    for language, code in documents.blocks(PAGES[page]):
        if language in ("", "sh"):
            for command in documents.commands(code):
                words = ours(command)
                if words is not None and words[:1] not in (["compress"], ["COMMAND"]):
                    assert accepted(words), (command, capsys.readouterr().err)


def test_a_wrong_option_is_found(accepted, capsys):
    assert not accepted(ours("nnjpeg train --epoch 3"))
    assert not accepted(ours("torchrun --nproc-per-node 8 -m nnjpeg train --epochs many"))
    assert accepted(ours("pip install '.[robust]' && nnjpeg reproduce --out runs/paper"))


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for link in documents.links(PAGES[page]):
        if re.match(r"https?:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (documents.ROOT / page).parent / path if path else documents.ROOT / page
        assert target.exists(), link
        if anchor and target.name != "cli.md":  # whose headings are made from the commands
            name = target.resolve().relative_to(documents.ROOT).as_posix()
            assert anchor in documents.anchors(PAGES[name]), link


def test_files_of_the_reading_order_exist():
    """Every file that CONTRIBUTING names, by its path or by the end of it."""
    text = PAGES["CONTRIBUTING.md"]
    table = text[text.index("## How the code is laid out") : text.index("## Fuzzing and load")]
    known = [path.relative_to(documents.ROOT).as_posix() for path in documents.ROOT.glob("*/**/*") if path.is_file()]
    for name in re.findall(r"`([\w/<>.]+\.(?:py|pyx|c|h|cu|cpp|html))`", table):
        pattern = re.sub("<[a-z]+>", r"\\w+", re.sub(r"[.]", r"[.]", name))
        assert any(re.search(f"(^|/){pattern}$", path) for path in known), name


def test_every_command_is_in_the_reference(monkeypatch):
    monkeypatch.syspath_prepend(documents.ROOT / "docs")
    commands = pytest.importorskip("commands", reason="docutils is not installed")
    parsers, _ = commands.subcommands(commands.parser())
    linked = {link.partition("#nnjpeg-")[2] for text in PAGES.values() for link in documents.links(text)} - {""}
    assert linked <= set(parsers)


def test_the_readme_is_read_in_three_minutes():
    assert len(PAGES["README.md"].splitlines()) <= 130
