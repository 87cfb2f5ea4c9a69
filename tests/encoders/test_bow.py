"""The bag-of-words encoder: by hand, from texts or features, kept and read back, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from xmcbench.encoders import bow as vocabulary_module
from xmcbench.encoders.bow import FILE, Bag, BowEncoder, SparseRows, Vocabulary, cut, distinct, drop
from xmcbench.encoders.encoder import buckets, embed, shuffled
from xmcbench.encoders.making import load_encoder, new_encoder, save_encoder
from xmcbench.encoders.params import EncoderParams, check
from xmcbench.errors import DataError, UsageError, XmcError
from xmcbench.method import Inputs

TEXTS = ["fever of unknown cause", "Yellow fever", "fracture of the left arm", ""]
LABELS = ["fever", "fracture of arm"]


def inputs(texts: list[str] | None = TEXTS, features: sp.csr_matrix | None = None) -> Inputs:
    return Inputs(features, texts, LABELS, len(LABELS))


def made(width: int = 8, seed: int = 0) -> BowEncoder:
    found = new_encoder(EncoderParams(width=width), inputs(), LABELS, seed, "cpu")
    assert isinstance(found, BowEncoder)
    return found


def test_by_hand() -> None:
    encoder = BowEncoder(4, 2, torch.Generator().manual_seed(0))
    with torch.no_grad():
        encoder.embed.copy_(torch.tensor([[9.0, 9.0], [1.0, 0.5], [9.0, 9.0], [0.5, 2.0]]))
        encoder.mix.copy_(torch.tensor([[1.0, 1.0], [-2.0, 0.0]]))
        encoder.mix_bias.copy_(torch.tensor([0.5, 1.0]))
    batch = Bag(torch.tensor([0, 2, 2]), torch.tensor([1, 3]), torch.tensor([2.0, -1.0]))
    # h = relu(2 · (1, 0.5) − (0.5, 2)) = (1.5, 0); relu(W h + c) = relu(2, −2)
    torch.testing.assert_close(encoder(batch), torch.tensor([[3.5, 0.0], [0.5, 1.0]]))


def test_documents_and_labels_of_one_text_have_one_embedding() -> None:
    encoder = made()
    documents = embed(encoder, encoder.rows(inputs([*TEXTS, "fever"])), "cpu")
    labels = embed(encoder, encoder.label_rows(LABELS), "cpu")
    assert documents.shape == (5, 8)
    np.testing.assert_array_equal(documents[4], labels[0])
    assert np.isfinite(documents).all()


def test_features_are_read_where_labels_have_no_texts() -> None:
    features = sp.csr_matrix(np.eye(3, 5, dtype=np.float32))
    encoder = new_encoder(EncoderParams(width=4), inputs(None, features), None, 0, "cpu")
    assert embed(encoder, encoder.rows(inputs(None, features)), "cpu").shape == (3, 4)
    with pytest.raises(UsageError, match="cannot read label texts"):
        encoder.label_rows(LABELS)
    with pytest.raises(DataError, match="have 4 features, the encoder has 5"):
        encoder.rows(inputs(None, features[:, :4]))
    with pytest.raises(DataError, match="no features"):
        encoder.rows(inputs())
    with pytest.raises(XmcError, match="neither features nor"):
        new_encoder(EncoderParams(), inputs(None), None, 0, "cpu")


def test_kept_and_read_back(tmp_path: Path) -> None:
    encoder = made()
    save_encoder(encoder, tmp_path / "encoder")
    again = load_encoder(tmp_path / "encoder")
    rows = encoder.rows(inputs())
    np.testing.assert_array_equal(embed(encoder, rows, "cpu"), embed(again, again.rows(inputs()), "cpu"))
    assert not (rows.features != again.rows(inputs()).features).nnz  # type: ignore[attr-defined]


@pytest.mark.parametrize("harm", ["cut", "other arrays", "no kind", "unknown kind"])
def test_a_damaged_folder_is_named(tmp_path: Path, harm: str) -> None:
    save_encoder(made(), tmp_path)
    if harm == "cut":
        (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes()[:100])
    elif harm == "other arrays":
        np.savez(tmp_path / FILE, a=np.zeros(3))
    else:
        (tmp_path / "encoder.json").write_text("{}" if harm == "no kind" else '{"kind": "magic"}')
    with pytest.raises(DataError, match=r"bow\.npz|encoder\.json"):
        load_encoder(tmp_path)


def test_seed_decides_the_weights() -> None:
    assert torch.equal(made(seed=1).embed, made(seed=1).embed)
    assert not torch.equal(made(seed=1).embed, made(seed=2).embed)


def test_dropout_keeps_the_mean_and_asks_for_a_generator() -> None:
    x = torch.ones(200, 200)
    dropped = drop(x, 0.3, torch.Generator().manual_seed(0))
    assert sorted(dropped.unique().tolist()) == [0.0, pytest.approx(1 / 0.7)]
    assert dropped.mean().item() == pytest.approx(1, abs=0.02)
    assert drop(x, 0.3, None) is x


def test_products_in_bf16_give_float32_embeddings_and_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    from xmcbench.encoders import bow

    def run() -> list[torch.Tensor]:
        encoder = made(width=64)
        embedding = encoder(encoder.rows(inputs()).batch(np.arange(4), "cpu"))
        (embedding**2).sum().backward()
        assert encoder.mix.grad is not None
        assert encoder.embed.grad is not None
        return [embedding.detach(), encoder.mix.grad, encoder.embed.grad.to_dense()]

    exact = run()
    monkeypatch.setattr(bow, "half_products", lambda tensor: torch.autocast("cpu", torch.bfloat16))
    for one, other in zip(exact, run(), strict=True):
        assert other.dtype == torch.float32
        assert not torch.equal(one, other)
        torch.testing.assert_close(other, one, rtol=0.05, atol=0.05)


def terms_of(vocabulary: Vocabulary) -> dict[str, list[str]]:
    return {part.options.tokens: part.terms() for part in vocabulary.vectorizer.parts}


def test_vocabulary_reads_words_and_pieces_of_words() -> None:
    vocabulary = Vocabulary.fit(["fever fever", "feverish", "arm"], 128)
    assert set(terms_of(vocabulary)["words"]) == {"fever", "feverish", "arm"}
    assert " fev" in terms_of(vocabulary)["pieces"]
    assert "rish" not in terms_of(vocabulary)["pieces"]  # in one text alone
    rows = vocabulary(["fever", "unheard", "fevers"])
    assert rows.shape == (3, vocabulary.width)
    assert rows[1].nnz == 0
    assert rows[2].nnz > 0  # the word is new, its pieces are not
    again = Vocabulary.of(vocabulary.arrays())
    assert not (again(["fever", "fevers"]) != vocabulary(["fever", "fevers"])).nnz


def test_reading_many_texts_tells_how_far_it_is_and_can_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary_module, "PROGRESS_EVERY", 2)
    told: list[tuple[int, int]] = []
    vocabulary = Vocabulary.fit(TEXTS, 128, lambda done, total: told.append((done, total)))
    assert told == [(0, 8), (2, 8), (4, 8), (6, 8)]

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        vocabulary(TEXTS, stop)


def test_vocabulary_without_common_pieces_or_words() -> None:
    assert "pieces" not in terms_of(Vocabulary.fit(["abc"], 128))
    with pytest.raises(DataError, match="there is no word in any of 2 texts"):
        Vocabulary.fit(["", "  "], 128)


def test_texts_are_cut_and_counted_once() -> None:
    assert cut("a  b\tc d", 3) == "a b c"
    assert distinct(["a", "b"], ["b", "c", "a"]) == ["a", "b", "c"]
    long = Vocabulary.fit(["one two three"], 2)
    assert set(terms_of(long)["words"]) == {"one", "two"}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"width": 0}, "width is 0"),
        ({"max_length": -1}, "max_length is -1"),
        ({"encoder": " "}, "encoder is empty"),
        ({"frozen": True}, "frozen=true has no meaning"),
    ],
)
def test_values_no_encoder_can_be_made_with(values: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        check("ance", EncoderParams(**values))  # type: ignore[arg-type]


def test_buckets_hold_every_row_once_within_the_size() -> None:
    lengths = np.random.default_rng(0).integers(0, 50, 300)
    found = buckets(lengths, 200)
    assert sorted(np.concatenate(found).tolist()) == list(range(300))
    assert all(lengths[which].max() * len(which) <= 200 for which in found if lengths[which].max())
    assert [len(which) for which in buckets(np.array([500, 1]), 200)] == [1, 1]  # a row too long goes alone
    assert buckets(np.empty(0, np.int64)) == []
    assert [len(which) for which in buckets(np.ones(20_000, np.int64), 1 << 19)] == [8192, 8192, 3616]


def test_batches_of_an_epoch_hold_every_row_once_and_little_padding() -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 1003)
    batches = list(shuffled(lengths, 10, np.random.default_rng(1)))
    assert sorted(np.concatenate(batches).tolist()) == list(range(1003))
    assert max(map(len, batches)) == 10
    padded = sum(len(which) * lengths[which].max() for which in batches)
    assert padded < 1.15 * lengths.sum()
    assert not np.array_equal(batches[0], next(shuffled(lengths, 10, np.random.default_rng(2))))


def test_embedding_is_the_same_whatever_the_buckets() -> None:
    encoder = made()
    rows = encoder.rows(inputs())
    told: list[tuple[int, int]] = []
    small = embed(encoder, rows, "cpu", lambda done, total: told.append((done, total)), budget=1)
    np.testing.assert_allclose(small, embed(encoder, rows, "cpu"), rtol=1e-5, atol=1e-6)  # BLAS may round otherwise
    assert told[-1] == (4, 4)
    assert embed(encoder, SparseRows(sp.csr_matrix((0, len(encoder.embed)), dtype=np.float32)), "cpu").shape == (0, 8)
