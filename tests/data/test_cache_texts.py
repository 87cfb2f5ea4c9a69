"""Texts on disk behave like a list of strings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmcbench.data.texts import Texts

strings = st.lists(st.text(st.characters(exclude_categories=["Cs"])))
ends = st.none() | st.integers(-12, 12)


@given(strings)
def test_reads_back_what_was_packed(texts: list[str]) -> None:
    packed = Texts.pack(texts)
    assert list(packed) == texts
    assert [packed[i] for i in range(len(packed))] == texts
    assert packed.offsets.dtype == np.int64
    assert len(packed.blob) == sum(len(text.encode()) for text in texts)


@given(strings, ends, ends, st.sampled_from([None, 1, 2, -1, -3]))
def test_slices_as_a_list(texts: list[str], start: int | None, stop: int | None, step: int | None) -> None:
    assert list(Texts.pack(texts)[start:stop:step]) == texts[start:stop:step]


@given(strings, ends, ends)
def test_a_packed_slice_starts_anew(texts: list[str], start: int | None, stop: int | None) -> None:
    packed = Texts.pack(Texts.pack(texts)[start:stop])
    assert list(packed) == texts[start:stop]
    assert packed.offsets[0] == 0
    assert packed.offsets[-1] == len(packed.blob)


def test_longer_than_one_read() -> None:
    texts = [str(i) * (i % 3) for i in range(2500)]
    assert list(Texts.pack(iter(texts))) == texts


def test_negative_and_numpy_ids() -> None:
    packed = Texts.pack(["a", "", "ç"])
    assert packed[-1] == "ç"
    assert packed[np.int64(1)] == ""
    for outside in (3, -4):
        with pytest.raises(IndexError):
            packed[outside]


def test_a_lone_surrogate_becomes_a_question_mark() -> None:
    assert list(Texts.pack(["a\ud800b"])) == ["a?b"]


@given(strings, ends, ends)
def test_packed_texts_have_no_problem(texts: list[str], start: int | None, stop: int | None) -> None:
    part = Texts.pack(texts)[start:stop]
    assert isinstance(part, Texts)
    assert part.problem() == Texts.pack(texts).problem() == ""


def test_problems_of_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xmcbench.data.texts.BLOCK", 3)
    accents = Texts.pack(["é" * 3, "b"])
    assert accents.problem() == ""
    for offsets in ([], [0, 8, 7], [0, 6, 8], [0, -1, 7], [-1, 6, 7]):
        assert Texts(accents.blob, np.array(offsets, np.int64)).problem() == "the offsets do not fit the texts"
    assert Texts(accents.blob, np.array([0, 1, 7])).problem() == "a text starts within a character"
    assert Texts(np.array([0xFF, 65], np.uint8), np.array([0, 2])).problem() == "a text is not utf-8"
    assert Texts(np.array([65, 0xC3], np.uint8), np.array([0, 2])).problem() == "a text is not utf-8"
