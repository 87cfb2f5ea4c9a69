"""Tf-idf views: fitted on training texts alone, as the catalogue's recipes say."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.data.plain_tfidf import words_of
from xmcbench.data.characters import UNSPACED, VOWEL_SIGNS, has_unspaced
from xmcbench.data.text import bow_any_script, bow_eurlex, bow_words, bow_words_chars
from xmcbench.data.tfidf import tokens_of
from xmcbench.errors import DataError


def norms(matrix: object) -> list[float]:
    return np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel()).tolist()  # type: ignore[attr-defined]


def test_weights_by_hand() -> None:
    """Sublinear: 1 + ln(count); smooth idf: 1 + ln((1 + n) / (1 + df)); rows of length 1."""
    (train, test), _ = bow_words(["a a b", "b"], ["a c"])
    a, b = (1 + math.log(2)) * (1 + math.log(3 / 2)), 1.0
    length = math.hypot(a, b)
    assert np.allclose(train.toarray(), [[a / length, b / length], [0, 1]], atol=1e-7)
    assert test.toarray().tolist() == [[1, 0]]
    assert train.dtype == np.float32
    assert train.has_sorted_indices


def test_other_splits_change_nothing() -> None:
    train = ["red fish", "blue fish", "one fish"]
    ((alone,), _), ((beside, test), _) = (
        bow_words_chars(train),
        bow_words_chars(train, ["blue whale and a great many new words"]),
    )
    assert (alone != beside).nnz == 0
    assert test.shape[1] == alone.shape[1]


def test_words_and_characters_are_two_halves_of_length_one() -> None:
    (both,), _ = bow_words_chars(["fever high", "fever", "a b"])
    assert np.allclose(norms(both), [math.sqrt(2), math.sqrt(2), 1])  # the last shares no trigram with another row
    words = 4  # fever, high, a, b: one-letter words count
    assert np.allclose(norms(both[:, :words]), 1)


def test_eurlex_recipe_drops_words_of_fewer_than_five_texts() -> None:
    (matrix,), _ = bow_eurlex(["common a"] * 5 + ["common rare"] * 4)
    assert matrix.shape == (9, 1)  # "rare" is in four texts, "a" is too short for the default token pattern


def test_rare_words_of_large_imports_are_dropped() -> None:
    assert bow_words(["same", "rare"])[0][0].shape[1] == 2
    assert bow_any_script(["same"] * 9_999 + ["rare"])[0][0].shape[1] == 1
    assert bow_words(["same"] * 9_999 + ["rare"])[0][0].shape[1] == 1


def test_texts_without_words() -> None:
    with pytest.raises(DataError, match="tf-idf of 2 training texts fails: empty vocabulary"):
        bow_words(["", "!"])


def own_words_of(text: str) -> list[str]:
    codes, starts, lengths, _ = tokens_of([text], "words of any script")
    return ["".join(map(chr, codes[a : a + n].tolist())) for a, n in zip(starts, lengths, strict=True)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("東京は2020年", ["東", "京", "は", "東京", "京は", "東京は", "2020", "年"]),
        ("ワインabc・酒", ["ワ", "イ", "ン", "ワイ", "イン", "ワイン", "abc", "酒"]),
        ("ที่นี่", ["ที่", "นี่", "ที่นี่"]),
        ("ລາວ", ["ລ", "າ", "ວ", "ລາ", "າວ", "ລາວ"]),
        ("ខ្មែរ", ["ខ្", "មែ", "រ", "ខ្មែ", "មែរ", "ខ្មែរ"]),
        ("မြန်မာ", ["မြ", "န်", "မာ", "မြန်", "န်မာ", "မြန်မာ"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("한국어 문장", ["한국어", "문장"]),
    ],
)
def test_scripts_without_spaces_give_character_ngrams(text: str, words: list[str]) -> None:
    assert words_of(text) == own_words_of(text) == words
    assert has_unspaced(text) == (len(words) > 2)


def spaced(character: str) -> bool:
    """Whether a character is of no script that `words_of` treats in its own way."""
    return not any(first <= ord(character) <= last for first, last in (*UNSPACED, VOWEL_SIGNS))


@given(st.text((st.characters() | st.sampled_from(" _\u0301\uac00\u314b\U0001f600\u00ad")).filter(spaced)))
@example("ㅋㅋㅋ 좋아요 e\u0301 x_1 \u302e")
def test_words_of_other_scripts_are_those_of_the_pattern(text: str) -> None:
    assert own_words_of(text) == re.findall(r"\b\w+\b", text.lower())


def test_other_scripts_keep_their_features_bit_by_bit() -> None:
    texts = ["Ein Bär im l'été", "naïve cafe\u0301 x_1", "Привет мир", "مرحبا", "Ωμέγα 12.5"] * 3
    expected, _ = bow_words(texts, texts[:2])
    for found, known in zip(bow_any_script(texts, texts[:2])[0], expected, strict=True):
        assert all(np.array_equal(getattr(found, a), getattr(known, a)) for a in ("data", "indices", "indptr"))


def test_data_sets_of_the_catalogue_keep_their_words() -> None:
    assert bow_words(["東京 to"])[0][0].shape[1] == 2


def test_chinese_texts_with_a_common_word_share_a_feature() -> None:
    first, second = bow_any_script(["我喜欢红酒", "红酒很贵"])[0][0].toarray()
    assert first @ second > 0
