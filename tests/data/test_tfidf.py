"""Tf-idf on all threads is that of scikit-learn, to the bit."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numba
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.data.plain_tfidf import plain_tfidf, plain_vectorizer
from xmcbench.data import term_kernels, tfidf
from xmcbench.data.characters import any_script_classes, word_classes
from xmcbench.data.term_kernels import Terms
from xmcbench.data.text import tfidf as own_tfidf
from xmcbench.data.tfidf import in_order, tokens_of
from xmcbench.data.vectorizer import Options, Tokens
from xmcbench.errors import DataError

KINDS = [Options("words"), Options("long words"), Options("words of any script"), Options("pieces")]
# Combining marks, final sigma, letters whose lower case is longer, NUL, surrogates, spaces of Unicode, other scripts.
CHARACTERS = "aab B_1é\u0301ΣσςİIıß\0\ud800\udfff \t\n\x1c\x85\u00a0\u2028\u3000東京はที่ခ्भाषा한Å\U0001d7d8\U00020000"
TEXT = st.text(st.sampled_from(CHARACTERS) | st.characters(exclude_categories=()), max_size=30)


def same(a: sp.csr_matrix, b: sp.csr_matrix) -> bool:
    """Whether two matrices are equal to the bit."""
    parts = ("data", "indices", "indptr")
    return a.shape == b.shape and all(np.array_equal(getattr(a, part), getattr(b, part)) for part in parts)


def own_tokens(text: str, kind: Tokens) -> list[str]:
    codes, starts, lengths, indptr = tokens_of([text], kind)
    assert indptr.tolist() == [0, len(starts)]
    return ["".join(map(chr, codes[a : a + n].tolist())) for a, n in zip(starts, lengths, strict=True)]


@pytest.mark.parametrize("options", KINDS, ids=lambda options: options.tokens)
@settings(deadline=None)  # kernels are compiled at the first example
@given(text=TEXT)
@example("ΑΣ ΑΣΒ Σ")
@example("İstanbul")
@example("a\u0301b \u0301 \ud800\udc00x")
@example("ab a abc abcdefg \x1f\x85 b")
@example("")
def test_tokens(options: Options, text: str) -> None:
    assert own_tokens(text, options.tokens) == plain_vectorizer(options).build_analyzer()(text)


@pytest.mark.parametrize("options", KINDS, ids=lambda options: options.tokens)
@pytest.mark.parametrize("text", ["a", "ab", "東", "東a", "a東東東", "東\u0301b", " a", "a b", ""])
def test_room_for_the_tokens_of_short_texts(options: Options, text: str) -> None:
    expected = plain_vectorizer(options).build_analyzer()(text)
    codes, starts, lengths, indptr = tokens_of([text] * 1_000, options.tokens)
    assert np.diff(indptr).tolist() == [len(expected)] * 1_000
    assert len(starts) == len(lengths) == indptr[-1]
    assert (starts + lengths <= len(codes)).all()


@pytest.mark.parametrize("kind", [Options("words"), Options("words of any script")], ids=lambda o: o.tokens)
def test_every_character_has_its_class(kind: Options) -> None:
    """Each code point between letters, and after one of an unspaced script."""
    analyze = plain_vectorizer(kind).build_analyzer()
    for start in [*range(0, 0x40000, 1 << 14), 0xE0000]:  # other planes have no assigned characters
        text = " ".join(f"a{chr(code)}b東{chr(code)}" for code in range(start, start + (1 << 14)))
        assert own_tokens(text, kind.tokens) == analyze(text)


@contextmanager
def small_blocks(size: int, threads: int) -> Iterator[None]:
    block, before = tfidf.BLOCK, numba.get_num_threads()
    tfidf.BLOCK = size
    numba.set_num_threads(min(threads, before))
    try:
        yield
    finally:
        tfidf.BLOCK = block
        numba.set_num_threads(before)


CASES = [[options] for options in KINDS] + [
    [Options("words"), Options("pieces", min_df=2)],
    [Options("words of any script", min_df=2, max_features=3), Options("long words", max_features=1)],
]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    options=st.sampled_from(CASES),
    train=st.lists(TEXT, max_size=8),
    test=st.lists(TEXT, min_size=1, max_size=4),
    size=st.sampled_from([1, 20, 1 << 18]),
    threads=st.sampled_from([1, 2]),
)
def test_matrices(options: list[Options], train: list[str], test: list[str], size: int, threads: int) -> None:
    train = [*train, "a b ab", "ab b", "ab"]
    with small_blocks(size, threads):
        (own_train, own_test), fitted = own_tfidf(options, train, test)
    for own, plain in zip((own_train, own_test), plain_tfidf(options, train, test), strict=True):
        assert same(own, plain)
        assert own.dtype == np.float32
    for part, part_options in zip(fitted.parts, options, strict=True):
        assert part.terms() == plain_vectorizer(part_options).fit(train).get_feature_names_out().tolist()


@pytest.fixture(scope="module")
def many() -> list[str]:
    """Texts with many terms of equal frequency, some of them long, so that tables grow and ties decide."""
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefgé東", k=rng.randint(1, 7))) for _ in range(4_000)]
    return [" ".join(rng.choices(words, k=rng.choice([0, 1, 5, 9, 40, 200]))) for _ in range(400)]


@pytest.mark.parametrize("options", [*CASES, [Options("words", 2, 500)], [Options("pieces", 1, 5_000)]], ids=str)
def test_many_terms(options: list[Options], many: list[str]) -> None:
    plain = plain_tfidf(options, many[:300], many[300:])
    for size, threads in [(1 << 18, 1), (1_000, 2), (1, 2)]:
        with small_blocks(size, threads):
            (train, test), fitted = own_tfidf(options, many[:300], many[300:])
        assert same(train, plain[0])
        assert same(test, plain[1])
        assert same(sp.vstack([fitted.transform([text]) for text in many[300:310]], format="csr"), test[:10])


def test_terms_with_equal_hashes_are_different_terms(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pair that the hash does not tell apart, found by trying; each keeps its own number."""
    seen: dict[int, str] = {}
    rng = random.Random(1)
    while True:
        term = "".join(rng.choices("abcdefghijklmnop", k=8))
        code_hash = term_kernels.HASH
        for character in term:
            code_hash = ((code_hash ^ ord(character)) * 16777619) & term_kernels.HASH
        other = seen.setdefault(code_hash, term)
        if other != term:
            break
    codes, starts, lengths, _ = tokens_of([f"{term} {other} {term}"], "words")
    terms = Terms()
    assert terms.add(codes, starts, lengths).tolist() == [0, 1, 0]
    assert terms.find(codes, starts, lengths).tolist() == [0, 1, 0]
    codes, starts, lengths, _ = tokens_of([f"{term} x"], "words")
    one = Terms()
    one.add(codes, starts[:1], lengths[:1])
    codes, starts, lengths, _ = tokens_of([f"{other} {term} x"], "words")
    assert one.find(codes, starts, lengths).tolist() == [-1, 0, -1]


def test_tables_grow() -> None:
    terms = Terms(room=1, characters=1)
    words = [f"{number:x}" for number in range(1_000)]
    codes, starts, lengths, _ = tokens_of([" ".join(words)], "words")
    assert terms.add(codes, starts, lengths).tolist() == list(range(1_000))
    assert "".join(map(chr, terms.codes[: terms.ends[1_000]])) == "".join(words)
    assert np.diff(terms.ends[:1_001]).tolist() == list(map(len, words))
    assert Terms.of(terms.codes[: terms.ends[1_000]], terms.ends[:1_001]).find(codes, starts, lengths)[-1] == 999


def test_a_fault_in_a_thread_is_raised() -> None:
    def work(item: int) -> int:
        if item == 3:
            raise KeyError("three")
        return item

    assert list(in_order(str, range(9))) == list("012345678")
    with pytest.raises(KeyError, match="three"):
        list(in_order(work, range(9)))


@pytest.mark.parametrize(
    ("texts", "min_df", "fault"),
    [(["", "!"], 1, "empty vocabulary"), ([], 1, "empty"), (["a b"], 2, "no term is in 2")],
)
def test_texts_without_terms(texts: list[str], min_df: int, fault: str) -> None:
    with pytest.raises(DataError, match=fault):
        own_tfidf([Options("words", min_df)], texts)


def test_classes() -> None:
    for table in (word_classes(), any_script_classes()):
        assert table[ord("a")] == table[ord("_")] == 1
        assert table[ord(" ")] == table[0] == table[0xD800] == 0
    assert any_script_classes()[[ord(c) for c in "東ก\u0e34\u093f"]].tolist() == [2, 2, 3, 1]
    assert word_classes()[ord("東")] == 1
