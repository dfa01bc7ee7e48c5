"""What a release says of itself is the same in all places."""

import re

import documents
import pytest

pytestmark = pytest.mark.skipif(not (documents.ROOT / "CITATION.cff").exists(), reason="not a source tree")


def text(name):
    path = documents.ROOT / name
    if not path.exists():
        pytest.skip(f"{name} is not here")
    return path.read_text()


def found(pattern, name):
    return re.search(pattern, text(name), re.M).groups()


def test_the_version_and_its_date():
    (version,) = found(r'^version = "(.*)"$', "pyproject.toml")
    assert found(r"^version: (.*)$", "CITATION.cff") == (version,)
    assert found(r"^  version: (.*)$", "conda-recipe/meta.yaml") == (version,)
    (date,) = found(r"^date-released: (.*)$", "CITATION.cff")
    assert found(r"^## (\S+), (\S+)$", "CHANGELOG.md") == (version, date)


def test_the_conda_recipe_has_the_requirements_of_the_core():
    """Those of pip without torch, which is optional there; and those of the build."""
    (listed,) = found(r"^dependencies = \[(.*)\]$", "pyproject.toml")
    wanted = dict(re.findall(r'"(\w+)(>=[\d.]+)"', listed))
    parts = re.split(r"^  (\w+):.*$", text("conda-recipe/meta.yaml"), flags=re.M)
    recipe = {
        name: dict(re.findall(r"^    - ([a-z]+)(?: (>=[\d.]+))?$", part, re.M))
        for name, part in zip(parts[1::2], parts[2::2], strict=True)
    }
    (python,) = found(r'^requires-python = "(.*)"$', "pyproject.toml")
    core = {name: least for name, least in wanted.items() if "torch" not in name}
    assert recipe["run"] == {"python": python, **core}
    assert recipe["run_constrained"] == {"pytorch": wanted["torch"], "torchvision": wanted["torchvision"]}
    built = dict(re.findall(r'"(\w+)(>=[\d.]+)"', text("build_backend/nnjpeg_build.py")))
    (setuptools,) = found(r'^requires = \["setuptools(.*)"\]$', "pyproject.toml")
    assert recipe["host"] == {"python": "", "pip": "", "setuptools": setuptools, **built}


@pytest.mark.parametrize("name", ["bug", "speed", "idea"])
def test_issue_forms_ask_for_show_config(name):
    yaml = pytest.importorskip("yaml")
    form = yaml.safe_load(text(f".github/ISSUE_TEMPLATE/{name}.yml"))
    assert {"name", "description", "body"} <= form.keys()
    (config,) = [one for one in form["body"] if one["id"] == "config"]
    assert "nnjpeg.show_config()" in config["attributes"]["description"]
