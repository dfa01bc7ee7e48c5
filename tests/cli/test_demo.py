"""nnjpeg demo: what it prints, its picture, and its page in a browser."""

import base64
import io
import json
import re

import chromium
import numpy as np
import pytest
from PIL import Image

import nnjpeg
from nnjpeg import NN_TABLE
from nnjpeg.cli import demo, main


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The folder that one run of the command has written to, and what it has printed."""
    folder, printed = tmp_path_factory.mktemp("demo"), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", printed)
        assert main(["demo", "-o", str(folder / "demo.png"), "--html", str(folder / "demo.html")]) == 0
    return folder, printed.getvalue()


@pytest.mark.slow(6)
def test_what_it_prints(written):
    folder, text = written
    assert "0 of 5464344 samples differ" in text
    rows = re.findall(r"^(\w+) +\d+x\d+ +(JPEG \d+, 4:2:0|NN-JPEG) +(\d+) ", text, re.M)
    assert [name for name, _, _ in rows] == [name for name in demo.PHOTOS for _ in range(2)]
    for (_, _, jpeg), (_, method, nn) in zip(rows[::2], rows[1::2], strict=True):
        assert method == "NN-JPEG"
        assert abs(int(jpeg) / int(nn) - 1) < 0.04
    with Image.open(folder / "demo.png") as picture:
        assert picture.size[0] > 1000
    assert sorted(path.name for path in folder.iterdir()) == ["demo.html", "demo.png"]


def test_the_quality_is_the_nearest_in_bytes(photos):
    image = photos["chelsea"]
    sizes = [int(nnjpeg.coded_size(image, **demo.ordinary(quality)._asdict())) for quality in range(1, 101)]
    for size in (0, sizes[0] + 1, 20_000, sizes[-1], 10**7):
        distances = [abs(one - size) for one in sizes]
        assert distances[demo.quality_of(image, size) - 1] == min(distances)


def test_the_page_holds_the_files_themselves(written, photos):
    folder, _ = written
    text = (folder / "demo.html").read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=.https?:", text)
    (found,) = re.findall(r'<script id="photos" type="application/json">(.*?)</script>', text, re.S)
    for photo in json.loads(found):
        files = [base64.b64decode(version["image"].partition(",")[2]) for version in photo["versions"]]
        original = photos[photo["name"]]
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(files[0]))), original)
        np.testing.assert_array_equal(nnjpeg.decode(files[2]), nnjpeg.roundtrip(original, NN_TABLE))
        assert nnjpeg.settings_of(files[1]).subsampling == "4:2:0"
        assert photo["versions"][1]["figures"][0] == f"{len(files[1]):,}"


@pytest.mark.skipif(not chromium.found(), reason="no Chromium is installed")
def test_the_page_in_a_browser(written):
    folder, _ = written
    with chromium.opened(folder / "demo.html") as page:
        for width in (360, 1280):
            page.resize(width, 800)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            for size in ("fit", "1", "3"):
                page.evaluate(f"at('size').value = '{size}'; at('size').dispatchEvent(new Event('change'))")
                assert page.evaluate("document.documentElement.scrollWidth") <= width
        for k in range(len(demo.PHOTOS)):
            page.evaluate(f"at('photo').value = {k}; at('photo').dispatchEvent(new Event('change'))")
            loaded = "Promise.all([at('left').decode(), at('right').decode()]).then(() => at('right').naturalWidth)"
            assert page.evaluate(loaded) > 400
            assert page.evaluate("at('left').alt").startswith("JPEG ")
            assert page.evaluate("at('right').alt") == "NN-JPEG"
            assert page.evaluate("at('figures').rows.length") == 3
        page.evaluate("at('slider').value = 20; at('slider').dispatchEvent(new Event('input'))")
        assert page.evaluate("getComputedStyle(at('right')).clipPath") == "inset(0px 0px 0px 20%)"
        assert page.evaluate("at('bar').offsetLeft / at('pair').clientWidth") == pytest.approx(0.2, abs=0.01)
        page.evaluate("at('left-version').value = 0; at('left-version').dispatchEvent(new Event('change'))")
        assert page.evaluate("at('left').src").startswith("data:image/png")
        light = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.resize(1280, 800, dark=True)
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
        assert page.errors == []


@pytest.mark.parametrize("option", ["-o", "--html"])
def test_a_missing_folder(tmp_path, capsys, monkeypatch, option):
    monkeypatch.chdir(tmp_path)
    assert main(["demo", option, str(tmp_path / "none" / "demo")]) == 1
    assert "no folder" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
