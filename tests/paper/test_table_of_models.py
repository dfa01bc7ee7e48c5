"""The quantization table of a report: that of its models."""

import pytest

from nnjpeg import QTable
from nnjpeg.paper.subject import table_of
from nnjpeg.qtable import NN_TABLE
from nnjpeg.robust import models
from nnjpeg.robust.record import checkpoints
from nnjpeg.robust.train import chain


@pytest.fixture
def trained(tmp_path):
    """Makes a folder with the models of a chain, as `run_stages` leaves it, without the training."""

    def make(name, stages):
        (tmp_path / name).mkdir()
        model = models.untrained("preact", classes=2, width=2)
        checkpoints.save_model(tmp_path / name / "M.safetensors", model, {})
        for stage in stages:
            checkpoints.save_model(tmp_path / name / f"{stage.name}.safetensors", model, {"stage": stage.facts()})
        return tmp_path / name

    return make


def test_the_table_is_that_of_the_models(trained, tmp_path):
    own = QTable.nn(8, 16, 1)
    own.save(tmp_path / "own.json")
    noisy = trained("noisy", chain.noisy((90, 30), noise=0.03, table=own))
    through = trained("through", chain.fast(0.03, phases=False, through=chain.Through(90, own)))
    plain = trained("plain", chain.plain())
    assert table_of(None, {}) == NN_TABLE
    assert table_of(None, {"models_of": [plain]}) == NN_TABLE
    assert table_of(None, {"models_of": [plain], "adversarial": [through]}) == own
    assert table_of(tmp_path / "own.json", {"models_of": [noisy], "adversarial": [through, plain]}) == own
    assert table_of(tmp_path / "own.json", {"models_of": [plain]}) == own


def test_models_of_two_tables_are_refused(trained, tmp_path):
    noisy = trained("noisy", chain.noisy((90, 30), noise=0.03, table=QTable.nn(8, 16, 1)))
    through = trained("through", chain.fast(0.03, phases=False, through=chain.Through(90)))
    with pytest.raises(
        ValueError, match=r"^adversarial: .*through/fast.* another .* than that of models_of: .*noisy/M30"
    ):
        table_of(None, {"models_of": [noisy], "adversarial": [through]})
    NN_TABLE.save(tmp_path / "paper.json")
    with pytest.raises(ValueError, match=r"^models_of: .*noisy/M30.* another .* than that of table: .*paper\.json"):
        table_of(tmp_path / "paper.json", {"models_of": [noisy]})
