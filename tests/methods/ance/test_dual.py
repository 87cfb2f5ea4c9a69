"""The dual encoder: where a label's embedding comes from, with and without a text."""

from __future__ import annotations

import numpy as np
import torch

from xmcbench.encoders.making import new_encoder
from xmcbench.encoders.params import EncoderParams
from xmcbench.method import Inputs
from xmcbench.methods.ance.dual import DualEncoder, LabelSide, unit

TEXTS = ["fever of unknown cause", "yellow fever", "fracture of the left arm"]
LABELS = ["fever", "", "fracture of arm", "  ", "?"]  # the last has no word, so it can't be read


def made(own: list[bool] | None = None, texts: list[str] | None = LABELS) -> DualEncoder:
    encoder = new_encoder(EncoderParams(width=6), Inputs(None, TEXTS, LABELS, 5), LABELS, 0, "cpu")
    side = LabelSide.of(encoder, texts, 5)
    vectors = np.array(own) if own is not None else side.place < 0
    return DualEncoder(encoder, side, vectors, torch.Generator().manual_seed(1))


def test_labels_with_a_text_that_can_be_read() -> None:
    assert (made().labels.place >= 0).tolist() == [True, False, True, False, False]
    assert (made(texts=None).labels.place == -1).all()


def test_embeddings_of_a_few_are_those_of_all() -> None:
    for own in (None, [True] * 5):
        model = made(own)
        with torch.no_grad():
            model.vectors += torch.randn(model.vectors.shape, generator=torch.Generator().manual_seed(2))
        some = np.array([3, 0, 4, 2])
        few = model.label_embeddings(some, "cpu").detach().numpy()
        np.testing.assert_allclose(few, model.embed_labels("cpu")[some], rtol=1e-5, atol=1e-6)


def test_a_label_is_its_text_and_its_own_vector() -> None:
    pure, both = made(), made([True] * 5)
    np.testing.assert_allclose(pure.embed_labels("cpu")[[0, 2]], both.embed_labels("cpu")[[0, 2]])  # it starts at zero
    assert np.linalg.norm(pure.embed_labels("cpu"), axis=1).round(5).tolist() == [1, 1, 1, 1, 1]
    with torch.no_grad():
        both.vectors[0] += 1
    text = unit(both.encoder(both.labels.rows.batch(np.array([0]), "cpu")).detach().numpy())  # type: ignore[union-attr]
    np.testing.assert_allclose(both.embed_labels("cpu")[0], text[0] + 1, rtol=1e-5)


def test_gradients_reach_encoder_and_vectors() -> None:
    model = made([True] * 5)
    model.label_embeddings(np.array([0, 1]), "cpu").square().sum().backward()
    assert len(model.tables()) == 2
    for table in model.tables():
        assert table.grad is not None
        assert table.grad.is_sparse
    assert model.vectors.grad.to_dense().abs().sum(1).gt(0).tolist() == [True, True, False, False, False]  # type: ignore[union-attr]


def test_documents_have_length_one_or_none() -> None:
    model = made()
    rows = model.encoder.rows(Inputs(None, [*TEXTS, "unheard"], None, 5))
    lengths = np.linalg.norm(model.embed_documents(rows, "cpu"), axis=1)
    np.testing.assert_allclose(lengths[:3], 1, rtol=1e-5)
    assert np.isfinite(lengths).all()
