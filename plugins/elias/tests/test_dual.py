"""The dual encoder: which labels it knows and from what, what networks start from, and that its training is resumed."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from xmcbench_elias.network.model import LABEL_BIAS
from xmcbench_elias.network.source import Source
from xmcbench_elias.params import EliasParams, settled
from xmcbench_elias.training.building import build, start_labels
from xmcbench_elias.training.dual import FINISH, Dual, DualTraining, dual_params

from xmcbench.context import Reporter, RunContext
from xmcbench.encoders.bow import BowEncoder
from xmcbench.encoders.encoder import embed
from xmcbench.errors import TimeLimit
from xmcbench.method import Inputs, TrainData
from xmcbench.methods.ance.params import RATES
from xmcbench.testing.worlds import tiny

DATA = tiny()
TRAIN = DATA.train_data()
TEXTS = list(DATA.label_texts or [])
SMALL = EliasParams(width=16, dual_epochs=6)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that an epoch of three hundred rows has five steps."""
    monkeypatch.setitem(RATES["bow"], "batch", 64)


def training(
    folder: Path,
    train: TrainData = TRAIN,
    rows: TrainData | None = None,
    reporter: Reporter | None = None,
    **values: Any,
) -> DualTraining:
    params = settled(dataclasses.replace(SMALL, **values), train.n_labels, train.n_rows)
    ctx = RunContext(folder, reporter=reporter or Reporter())
    source = Source.of(params, train, ctx)
    ready = source.prepare(train, ctx)
    return DualTraining(source, ready, ready if rows is None else source.prepare(rows, ctx), params, ctx)


def without_rows_of(label: int, train: TrainData = TRAIN) -> TrainData:
    return train.rows(np.flatnonzero(train.labels.toarray()[:, label] == 0))


def texts(*given: str) -> Inputs:
    return dataclasses.replace(DATA.test_inputs(), features=None, texts=list(given))


def documents(dual: Dual, inputs: Inputs, folder: Path) -> NDArray[np.float32]:
    return dual.documents(dual.encoder.rows(inputs), RunContext(folder))


def hits(dual: Dual, folder: Path) -> float:
    ids = dual.nearest(documents(dual, DATA.test_inputs(), folder), 1, RunContext(folder)).ids
    return float(np.take_along_axis(DATA.test.labels.toarray(), ids, 1).mean())


def same(one: Dual, other: Dual, folder: Path) -> None:
    assert np.array_equal(one.embeddings, other.embeddings)
    assert np.array_equal(one.known, other.known)
    assert one.length == other.length
    assert np.array_equal(*(documents(dual, DATA.test_inputs(), folder) for dual in (one, other)))


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Dual:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RATES["bow"], "batch", 64)
        return training(tmp_path_factory.mktemp("first")).first()


def test_it_learns_and_finds_the_nearest_labels(first: Dual, tmp_path: Path) -> None:
    assert hits(first, tmp_path) > 5 * DATA.test.labels.toarray().mean()
    given, ctx = documents(first, DATA.test_inputs(), tmp_path), RunContext(tmp_path)
    np.testing.assert_allclose(np.linalg.norm(given, axis=1), 1, rtol=1e-5)
    product = given @ first.embeddings.T
    top = first.nearest(given, 7, ctx)
    np.testing.assert_array_equal(top.ids, np.argsort(-product, axis=1, kind="stable")[:, :7])
    np.testing.assert_allclose(top.scores, -np.sort(-product, axis=1)[:, :7], rtol=1e-5)
    assert first.nearest(given, 100, ctx).k == 40
    none = documents(first, DATA.test_inputs().rows(np.arange(0)), tmp_path)
    assert none.shape == (0, 16)
    assert first.nearest(none, 5, ctx).n_rows == 0


def test_its_index_is_made_once_for_the_device_and_told_of(
    first: Dual, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it is searched on a GPU, many labels need no graph; a search of many rows can be stopped."""
    made: list[Any] = []

    class Spy:
        @classmethod
        def of(cls, *given: Any) -> Spy:
            made.append(given[2:])
            return cls()

        def search(self, documents: Any, k: int, ef: int, device: str, progress: Any) -> Any:
            progress(1, 2)
            return device

    monkeypatch.setattr("xmcbench_elias.training.dual.LabelIndex", Spy)
    dual, ctx = dataclasses.replace(first, index=None), RunContext(tmp_path, device="cuda", deadline=None)
    assert dual.nearest(np.empty((0, 16), np.float32), 5, ctx) == dual.nearest(first.embeddings, 5, ctx) == "cuda"
    assert made == [("auto", "cuda")]
    with pytest.raises(TimeLimit):
        dual.nearest(first.embeddings, 5, dataclasses.replace(ctx, deadline=0.0))


def test_a_label_without_training_rows_is_found_by_its_text(tmp_path: Path) -> None:
    train = without_rows_of(3)
    dual = training(tmp_path / "texts", train).first()
    assert dual.known.all()
    row = documents(dual, texts(TEXTS[3]), tmp_path)
    assert 3 in dual.nearest(row, 3, RunContext(tmp_path)).ids
    np.testing.assert_allclose(dual.embeddings[3], row[0], atol=1e-6)  # nothing but its text
    mute = dataclasses.replace(train, label_texts=[*TEXTS[:3], "", *TEXTS[4:]])
    dual = training(tmp_path / "mute", mute).first()
    assert np.flatnonzero(~dual.known).tolist() == [3]
    found = dual.nearest(documents(dual, DATA.test_inputs(), tmp_path), 40, RunContext(tmp_path))
    assert found.k == 39
    assert 3 not in found.ids
    assert not dual.start()[3].any()


def test_texts_for_some_labels_only(tmp_path: Path) -> None:
    """Those without are learned from their rows: here odd ones, one of them with a text of blanks."""
    some = [text if label % 2 == 0 else "" for label, text in enumerate(TEXTS)]
    some[1] = " \n "
    dual = training(tmp_path, dataclasses.replace(TRAIN, label_texts=some)).first()
    seen = np.bincount(TRAIN.labels.indices, minlength=40) > 0
    assert np.array_equal(dual.known, seen | (np.arange(40) % 2 == 0))
    assert hits(dual, tmp_path) > 5 * DATA.test.labels.toarray().mean()
    found = dual.nearest(documents(dual, DATA.test_inputs(), tmp_path), 3, RunContext(tmp_path)).ids
    assert {1, 2} <= set(found.ravel().tolist())


def test_equal_texts_and_a_very_long_one(tmp_path: Path) -> None:
    same_text = [*TEXTS]
    same_text[4] = same_text[3]
    same_text[5] = " ".join([TEXTS[5]] * 20_000)
    train = without_rows_of(5, without_rows_of(4, without_rows_of(3)))
    dual = training(tmp_path / "unseen", dataclasses.replace(train, label_texts=same_text)).first()
    assert np.array_equal(dual.embeddings[3], dual.embeddings[4])
    found = dual.nearest(documents(dual, texts(TEXTS[3]), tmp_path), 40, RunContext(tmp_path)).ids[0].tolist()
    assert found.index(4) == found.index(3) + 1  # nothing tells them apart: the lower one first
    cut = " ".join(same_text[5].split()[: SMALL.max_length])
    np.testing.assert_allclose(dual.embeddings[5], documents(dual, texts(cut), tmp_path)[0], atol=1e-5)
    dual = training(tmp_path / "seen", dataclasses.replace(TRAIN, label_texts=same_text)).first()
    assert not np.allclose(dual.embeddings[3], dual.embeddings[4], atol=0.1)  # their rows do


def test_without_label_texts_it_reads_features(tmp_path: Path) -> None:
    dual = training(tmp_path / "one", label_texts=False).first()
    assert isinstance(dual.encoder, BowEncoder)
    assert dual.encoder.vocabulary is None
    assert dual.encoder.embed.shape == (60, 16)
    assert np.array_equal(dual.known, np.bincount(TRAIN.labels.indices, minlength=40) > 0)
    assert hits(dual, tmp_path) > 5 * DATA.test.labels.toarray().mean()
    wordless = dataclasses.replace(TRAIN, texts=None, label_texts=None)
    same(dual, training(tmp_path / "other", wordless).first(), tmp_path)  # as where there are none to read


@pytest.mark.parametrize("label_texts", [TEXTS, None], ids=["texts", "none"])
def test_rows_without_labels(tmp_path: Path, label_texts: list[str] | None) -> None:
    train = dataclasses.replace(
        TRAIN, labels=sp.csr_matrix(TRAIN.labels.shape, dtype=np.float32), label_texts=label_texts
    )
    dual = training(tmp_path, train).first()
    assert dual.known.all() == (label_texts is not None)
    found = dual.nearest(documents(dual, DATA.test_inputs(), tmp_path), 5, RunContext(tmp_path))
    assert found.ids.shape == (80, 5 if label_texts else 0)


def test_label_weights_start_where_a_row_of_usual_length_is_as_likely_as_not(first: Dual, tmp_path: Path) -> None:
    """3 / m · e / |e|: p = σ(0) in the label's direction at length m, σ(−3) at right angles to it."""
    phi = embed(first.encoder, first.encoder.rows(TRAIN), "cpu")
    assert first.length == pytest.approx(float(np.linalg.norm(phi, axis=1).mean()), rel=1e-5)
    known = np.arange(40) != 7
    dual = Dual(first.encoder, first.embeddings * 5, known, first.length)
    weights = dual.start()
    direction = first.embeddings / np.linalg.norm(first.embeddings, axis=1, keepdims=True)
    np.testing.assert_allclose(weights[known], (3 / first.length * direction)[known], rtol=1e-4)
    assert not weights[7].any()
    along = (weights * direction * first.length).sum(axis=1) + LABEL_BIAS
    np.testing.assert_allclose(along[known], 0, atol=1e-4)


def test_an_encoder_that_gives_nothing_starts_no_label(first: Dual) -> None:
    """Where the mean |φ| is next to nothing, as where most rows are empty, 3 / |φ| would outgrow all other weights."""
    assert not Dual(first.encoder, first.embeddings, first.known, 1e-7).start().any()
    assert not Dual(first.encoder, first.embeddings, first.known, 0.0).start().any()


def test_label_weights_are_computed_for_some_labels_at_a_time(
    first: Dual, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same weights in blocks of 7 of the 40 labels."""
    source, entries = Source.of(settled(SMALL, 40), TRAIN, RunContext(tmp_path)), np.arange(40)[None]
    dual = Dual(first.encoder, first.embeddings, np.arange(40) % 3 > 0, first.length)
    whole = build(source, 40, entries, settled(SMALL, 40), 5, dual)
    sizes: list[int] = []
    start = Dual.start

    def counted(self: Dual, labels: slice) -> Any:
        weights = start(self, labels)
        sizes.append(len(weights))
        return weights

    monkeypatch.setattr(Dual, "start", counted)
    monkeypatch.setattr("xmcbench_elias.training.building.LABELS", 7)
    assert torch.equal(build(source, 40, entries, settled(SMALL, 40), 5, dual).label_weight, whole.label_weight)
    assert sizes == [7, 7, 7, 7, 7, 5]


def test_networks_start_from_it(first: Dual, tmp_path: Path) -> None:
    """Encoder and known labels; the others keep the random numbers they would have without it."""
    params = settled(SMALL, 40)
    source = Source.of(params, TRAIN, RunContext(tmp_path))
    known = np.arange(40) != 7
    dual = Dual(first.encoder, first.embeddings, known, first.length)
    entries = np.arange(40)[None]
    model, fresh = build(source, 40, entries, params, 5, dual), build(source, 40, entries, params, 5)
    for name, weight in first.encoder.state_dict().items():  # type: ignore[attr-defined]
        assert torch.equal(model.encoder.state_dict()[name], weight)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(model.label_weight[known].detach().numpy(), dual.start()[known])
    assert torch.equal(model.label_weight[7], fresh.label_weight[7])
    assert (model.label_bias == LABEL_BIAS).all()
    with torch.no_grad():
        model.encoder.tables()[0].zero_()
        model.label_weight.zero_()
    assert first.encoder.tables()[0].any()  # trained on, a model leaves the dual encoder alone
    start_labels(model, 5, dual)
    np.testing.assert_array_equal(model.label_weight[known].detach().numpy(), dual.start()[known])


# The epochs over all rows.


def test_it_ends_with_epochs_over_all_rows(tmp_path: Path) -> None:
    few = TRAIN.rows(slice(0, 200))
    mute = dataclasses.replace(few, label_texts=None), dataclasses.replace(TRAIN, label_texts=None)
    duals = training(tmp_path / "both", *mute)
    first = duals.first()
    kept = first.embeddings.copy(), documents(first, DATA.test_inputs(), tmp_path)
    last = duals.finished(2)
    assert np.array_equal(first.embeddings, kept[0])  # the first is left as it was
    assert np.array_equal(documents(first, DATA.test_inputs(), tmp_path), kept[1])
    assert not np.array_equal(last.embeddings, first.embeddings)
    before, after = (np.bincount(rows.labels.indices, minlength=40) > 0 for rows in (few, TRAIN))
    new = after & ~before
    assert new.any()
    assert not first.known[new].any()
    assert last.known[new].all()


def test_its_rates_and_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = dual_params(settled(dataclasses.replace(SMALL, dropout=0.1), 40))
    assert (asked.epochs, asked.dropout, asked.batch, asked.rate, asked.table_rate) == (6, 0.1, 64, 3e-3, 2e-2)
    given: list[Any] = []

    class Spy:
        def __init__(self, *parts: Any) -> None:
            given.append(parts)

        def run(self) -> None:
            pass

    monkeypatch.setattr("xmcbench_elias.training.dual.Training", Spy)
    duals = training(tmp_path, TRAIN.rows(slice(0, 200)), TRAIN)
    duals.first()
    duals.finished(3)
    (_, first_rows, _, first, *_), (_, all_rows, _, last, *_) = given
    assert (len(first_rows), len(all_rows)) == (200, 300)
    assert (first.epochs, first.warm_up, first.rate) == (6, 1, 3e-3)
    assert (last.epochs, last.warm_up) == (3, 0)
    assert (last.rate, last.table_rate) == (FINISH * first.rate, FINISH * first.table_rate)


@pytest.mark.parametrize("at", [2, 13, 30, 34, 38])
def test_a_killed_training_goes_on_and_ends_the_same(tmp_path: Path, stop: Any, at: int) -> None:
    """First in its six epochs over 200 rows of four steps each, then in the two over all rows of five."""

    def both(folder: str, reporter: Reporter | None = None) -> tuple[Dual, Dual]:
        duals = training(tmp_path / folder, TRAIN.rows(slice(0, 200)), TRAIN, reporter)
        return duals.first(), duals.finished(2)

    known = both("whole")
    with pytest.raises(KeyboardInterrupt):
        both("killed", stop("", at))
    for one, other in zip(both("killed"), known, strict=True):
        same(one, other, tmp_path)
