"""`--engine pyxclib`, with a small stand-in, and with the real xclib where it is installed (`tox -e pyxclib`)."""

from __future__ import annotations

import dataclasses
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from xmcbench.errors import UsageError, XmcError
from xmcbench.metrics import Truth, evaluate, parse_all
from xmcbench.metrics.engines import COMPUTES, DEFAULT_PYXCLIB, disagreements, with_pyxclib
from xmcbench.metrics.predictions import Given
from xmcbench.topk import TopK

ORACLES = Path(__file__).parents[1] / "oracles" / "data" / "pyxclib_seed0.npz"
STAND_IN = '''
"""What the engine calls of pyxclib 5d13086: CSR scores, ranked with ties in any order; curves for k = 1 … K."""
import numpy as np
import scipy.sparse as sp

class Metrics:
    def __init__(self, true_labels, inv_psp=None, remove_invalid=False):
        self.labels, self.inv_psp = true_labels, inv_psp

    def eval(self, scores, K=5, sorted=False):
        assert sp.issparse(scores) and scores.shape == self.labels.shape and not sorted
        scores.sort_indices()
        pred_labels = np.full((scores.shape[0], K), scores.shape[1])
        for i, (a, b) in enumerate(zip(scores.indptr, scores.indptr[1:])):
            best = np.argsort(scores.data[a:b])[::-1][:K]
            pred_labels[i, : len(best)] = scores.indices[a:b][best]
        dense = np.hstack([self.labels.toarray(), np.zeros((self.labels.shape[0], 1))])
        hit = np.take_along_axis(dense, pred_labels[:, :K], axis=1)
        discount = 1 / np.log2(np.arange(K) + 2)
        positives = dense.sum(axis=1).astype(int)
        ideal = np.cumsum(discount)[np.minimum(np.maximum(positives, 1)[:, None], np.arange(1, K + 1)) - 1]
        out = self.curves(hit, discount, ideal)
        if self.inv_psp is None:
            return out
        w = np.append(self.inv_psp, 0)
        best = -np.sort(-(dense * w), axis=1)[:, :K]
        best = np.hstack([best, np.zeros((len(best), K - best.shape[1]))])
        ours, most = self.curves(hit * w[pred_labels[:, :K]], discount, ideal), self.curves(best, discount, ideal)
        return [*out, ours[0] / most[0], (ours[1] / most[1]) * FACTOR]

    @staticmethod
    def curves(gain, discount, ideal):
        k = gain.shape[1]
        precision = (np.cumsum(gain, axis=1) / np.arange(1, k + 1)).mean(axis=0)
        return [precision, (np.cumsum(gain * discount, axis=1) / ideal).mean(axis=0).astype(np.float32)]

FACTOR = 1.0
'''


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module file `xclib.evaluation.xc_metrics` on the path, forgotten afterwards."""
    folder = tmp_path / "xclib/evaluation"
    folder.mkdir(parents=True)
    (tmp_path / "xclib/__init__.py").touch()
    (folder / "__init__.py").touch()
    (folder / "xc_metrics.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(tmp_path)
    forget()
    yield folder / "xc_metrics.py"
    forget()


@pytest.fixture(params=["stand-in", "real"])
def xclib(request: pytest.FixtureRequest) -> None:
    """Each `xclib` that the engine can import here."""
    if request.param == "stand-in":
        request.getfixturevalue("stand_in")
        return
    try:
        importlib.import_module("xclib.evaluation.xc_metrics")
    except ImportError as error:
        pytest.skip(f"pyxclib can't be imported ({error}): `tox -e pyxclib` installs it from its repository")


def scores_of(topk: TopK, truth: Truth) -> sp.csr_matrix:
    """Distinct scores as given, in the order of the predictions."""
    scores = np.tile(-np.arange(topk.k, dtype=np.float64), (topk.n_rows, 1))
    return Given(Path("p.npz"), (topk.ids, scores)).csr(truth.n_labels, np.zeros((0, 2), np.int64))


def forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "xclib"]:
        del sys.modules[name]


@pytest.mark.usefixtures("xclib")
def test_agrees(world: Callable[..., Any]) -> None:
    topk, truth = world(0)
    names = parse_all([*DEFAULT_PYXCLIB, "PSP(like=pyxclib)@2", "P@20", "nDCG@20"])
    theirs = with_pyxclib(scores_of(topk, truth), truth, names)
    ours = evaluate(topk, truth, names, samples=0).fractions()
    assert list(theirs) == list(ours)
    assert theirs == pytest.approx(ours, abs=1e-6)
    assert disagreements(theirs, ours) == []


@pytest.mark.parametrize("case", ["plain", "empty_rows", "short_rows", "wide"])
@pytest.mark.usefixtures("xclib")
def test_gives_the_stored_values(case: str) -> None:
    """The stand-in computes what pyxclib 5d13086 computed, and another installed version of pyxclib still does."""
    with np.load(ORACLES) as file:
        known = {name.removeprefix(f"{case}/"): file[name] for name in file.files if name.startswith(f"{case}/")}
    truth, predictions = (
        sp.csr_matrix(tuple(known[f"{name}.{part}"] for part in ("data", "indices", "indptr")), known[f"{name}.shape"])
        for name in ("truth", "pred")
    )
    labels = dataclasses.replace(
        Truth.build(truth), inv_propensity=known["inv_propensity"], n_train=int(known["n_train"])
    )
    names = parse_all([f"{metric}@{k}" for metric in COMPUTES for k in range(1, 11)])
    theirs = with_pyxclib(scores_of(TopK.from_csr(predictions, 10), labels), labels, names)
    for metric in COMPUTES:
        values = [theirs[f"{metric}@{k}"] for k in range(1, 11)]
        np.testing.assert_allclose(values, known[metric], rtol=0, atol=1e-6)


@pytest.mark.usefixtures("xclib")
def test_cut_offs_beyond_the_predictions_and_the_labels() -> None:
    """Two predictions for three labels: k = 5 is more than either, and both programs count misses."""
    truth = Truth.build(sp.csr_matrix([[1, 0, 1], [0, 0, 0], [0, 1, 0]]), sp.csr_matrix(np.eye(3)[[0, 0, 1, 2, 2]]))
    topk = TopK.from_arrays(np.array([[2, 1], [0, 1], [1, -1]]), np.array([[0.9, 0.5], [0.5, 0.5], [0.1, 0.0]]))
    names = parse_all([f"{metric}@{k}" for metric in COMPUTES for k in (1, 3, 5)])
    ours = evaluate(topk, truth, names, samples=0).fractions()
    assert ours["P@5"] == pytest.approx(2 / 15)
    assert disagreements(with_pyxclib(scores_of(topk, truth), truth, names), ours) == []


def test_says_where_the_two_differ(stand_in: Path, world: Callable[..., Any]) -> None:
    stand_in.write_text(STAND_IN.replace("FACTOR = 1.0", "FACTOR = 1.01"))
    topk, truth = world(0)
    names = parse_all(["P@1", "PSnDCG@3"])
    ours = evaluate(topk, truth, names, samples=0).fractions()
    (sentence,) = disagreements(with_pyxclib(scores_of(topk, truth), truth, names), ours)
    assert sentence.startswith("PSnDCG@3: pyxclib 0.")
    assert disagreements({"P@1": None}, {"P@1": 0.5}) == ["P@1: pyxclib None, xmcbench 0.5 (undefined)"]
    assert disagreements({"P@1": None}, {"P@1": None}) == []


@pytest.mark.usefixtures("xclib")
def test_truth_without_any_label_is_undefined_on_both_sides(world: Callable[..., Any]) -> None:
    topk, truth = world(0, empty=1.0)
    train = np.ones((5, truth.n_labels))
    bare = Truth.build(truth.labels, train)
    names = parse_all(["P@1", "PSP@3"])
    assert with_pyxclib(scores_of(topk, truth), bare, names) == {"P@1": 0.0, "PSP@3": None}
    assert evaluate(topk, bare, names, samples=0).fractions() == {"P@1": 0.0, "PSP@3": None}


@pytest.mark.parametrize("name", ["R@5", "P@1:tail", "PSP(norm=none)@1", "P(empty=skip)@1", "RPrec", "Coverage@5"])
def test_what_pyxclib_does_not_compute(world: Callable[..., Any], name: str) -> None:
    topk, truth = world(0)
    with pytest.raises(UsageError, match="pyxclib does not compute"):
        with_pyxclib(scores_of(topk, truth), truth, parse_all([name]))


def test_propensity_needs_training_labels(world: Callable[..., Any]) -> None:
    topk, truth = world(0)
    with pytest.raises(UsageError, match="training labels"):
        with_pyxclib(scores_of(topk, truth), Truth.build(truth.labels), parse_all(["PSP@1"]))


def test_missing_pyxclib_says_how_to_install_it(world: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    topk, truth = world(0)
    monkeypatch.setitem(sys.modules, "xclib.evaluation.xc_metrics", None)
    with pytest.raises(XmcError, match="can't be imported") as caught:
        with_pyxclib(scores_of(topk, truth), truth, parse_all(["P@1"]))
    assert "git+https://github.com/kunaldahiya/pyxclib@5d13086" in str(caught.value)
    assert caught.value.exit_code == 1


@pytest.mark.usefixtures("xclib")
def test_from_the_command_line(world: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import json

    import typer

    from xmcbench.cli.score import score

    topk, truth = world(0)
    topk.save(tmp_path / "p.npz")
    sp.save_npz(tmp_path / "t.npz", truth.labels)
    app = typer.Typer()
    app.command()(score)
    words = [str(tmp_path / "p.npz"), "--truth", str(tmp_path / "t.npz"), "--train-labels", str(tmp_path / "t.npz")]
    app([*words, "--engine", "pyxclib", "--json"], standalone_mode=False)
    captured = capsys.readouterr()
    assert tuple(json.loads(captured.out)) == DEFAULT_PYXCLIB
    assert "agree on all 12 metrics" in captured.err


@pytest.mark.usefixtures("xclib")
def test_pyxclib_ranks_the_scores_as_given(tmp_path: Path) -> None:
    """Scores that float32 can't tell apart; both programs must rank the true label, 0, first."""
    from xmcbench.cli.score import Against, score_predictions

    scores = np.array([[1 + 1e-12, 1.0, 0.5]])
    truth = Truth.build(np.array([[1, 0, 0]]))
    np.savez(tmp_path / "p.npz", ids=[[1, 0, 2]], scores=scores[:, [1, 0, 2]])
    against = Against(truth, np.zeros((0, 2), np.int64), None)
    scored = score_predictions(tmp_path / "p.npz", against, parse_all(["P@1"]), "pyxclib", samples=0)
    assert scored.values == {"P@1": 1.0}
    assert scored.notes == ["pyxclib and xmcbench agree on all 1 metrics"]
    np.savez(tmp_path / "p.npz", ids=[[1, 0, 2]], scores=[[1, 1, 0]])
    notes = score_predictions(tmp_path / "p.npz", against, parse_all(["P@1"]), "pyxclib", samples=0).notes
    assert notes[0].startswith("1 of 1 rows have equal scores")
