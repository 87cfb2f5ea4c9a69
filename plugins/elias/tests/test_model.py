"""A kept model of ELIAS labels the texts of test rows as its run did."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import xmcbench as xb
from xmcbench.records.store import Store

SMALL = "width=32,leaf=5,train_beam=3,beam=3,batch=32,dual_epochs=2,stage1_epochs=2,stage2_epochs=2,finish_epochs=1"
LABELS = (
    f"elias[{SMALL}]",
    f"elias[{SMALL},label_texts=false]",  # the encoder reads features, and there is no dual encoder
    f"elias[{SMALL},output=ranker]",
)
WORDS = ["login", "billing", "phone", "line", "cable", "slow", "broken", "café", "日本語", "router", "invoice"]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("model")
    rows = [
        {"text": f"{WORDS[i % 11]} {WORDS[i % 7]} number {i}", "labels": [WORDS[i % 11], WORDS[i % 5]]}
        for i in range(150)
    ]
    (folder / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XMCBENCH_HOME", str(folder / "home"))
        xb.import_data("mine", folder / "mine.jsonl")
        options = {"results": folder / "r", "keep_models": True, "progress": False, "device": "cpu"}
        xb.run(LABELS, dataset="mine", **options)  # type: ignore[arg-type]
        yield folder / "r"


@pytest.mark.parametrize("label", LABELS)
def test_the_model_predicts_to_the_bit_what_its_run_predicted(
    results: Path, label: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XMCBENCH_HOME", str(results.parent / "home"))
    position = LABELS.index(label)
    run = xb.results(results)[position]
    texts = list(xb.dataset("mine").test.texts or ())
    expected = Store(results).predictions(run.records[0]).cut(5)
    monkeypatch.setenv("XMCBENCH_HOME", str(results / "nothing"))  # the model needs no data set
    model = xb.load_model(results / "models" / run.records[0].run_id, device="cpu")
    found = model.predict(texts, k=5).topk
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_array_equal(found.scores, expected.scores)
    # Alone, a row gets the same labels; matrix products of BLAS round the last bit of a score by the number of rows.
    one_by_one = [model.predict([text], k=5).topk for text in texts]
    np.testing.assert_array_equal(np.concatenate([one.ids for one in one_by_one]), expected.ids)
    scores = np.concatenate([one.scores for one in one_by_one])
    np.testing.assert_allclose(scores, expected.scores, rtol=1e-5, atol=1e-5)


def test_scores_of_two_rows_are_not_compared(results: Path) -> None:
    model = xb.results(results)[0].model()
    with pytest.raises(xb.XmcError, match="scores of elias only order the labels of one row"):
        model.predict(["login"], above=0.5)
