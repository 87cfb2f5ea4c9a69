"""Tf-idf as scikit-learn computes it, with patterns for words: the plain twin of `xmcbench.data.tfidf`."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.feature_extraction.text import TfidfVectorizer

from xmcbench.data.characters import UNSPACED, VOWEL_SIGNS
from xmcbench.data.vectorizer import Options

_WORD = re.compile(r"\w+")
_SPECIAL = re.compile(f"[{''.join(f'{chr(a)}-{chr(b)}' for a, b in (*UNSPACED, VOWEL_SIGNS))}]")


def plain_vectorizer(options: Options) -> TfidfVectorizer:
    """scikit-learn's vectorizer of one part."""
    ways: dict[str, dict[str, Any]] = {
        "words": {"token_pattern": r"\b\w+\b"},
        "long words": {},
        "words of any script": {"tokenizer": words_of, "token_pattern": None},
        "pieces": {"analyzer": "char_wb", "ngram_range": (3, 5)},
    }
    return TfidfVectorizer(
        sublinear_tf=True, min_df=options.min_df, max_features=options.max_features, **ways[options.tokens]
    )


def plain_tfidf(options: Sequence[Options], train: Sequence[str], test: Sequence[str]) -> list[sp.csr_matrix]:
    """Matrices of the training and the test texts."""
    parts = [plain_vectorizer(part) for part in options]
    return [
        stacked([part.fit_transform(train) for part in parts]),
        stacked([part.transform(test) for part in parts]),
    ]


def stacked(parts: Sequence[Any]) -> sp.csr_matrix:
    """The matrices side by side, as float32 CSR with sorted ids."""
    csr = sp.csr_matrix(sp.hstack([sp.csr_matrix(part, dtype=np.float32) for part in parts], format="csr"))
    csr.sort_indices()
    return csr


def words_of(text: str) -> list[str]:
    """The words of any script: see `xmcbench.data.characters`."""
    if not _SPECIAL.search(text):
        return _WORD.findall(text)
    pattern, unspaced = _word_patterns()
    words: list[str] = []
    for word in pattern.findall(text):
        if not unspaced.match(word):
            words.append(word)
            continue
        characters = unspaced.findall(word)
        for n in (1, 2, 3):
            words += ["".join(characters[i : i + n]) for i in range(len(characters) - n + 1)]
    return words


@cache
def _word_patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Patterns of a word or a run of unspaced letters, and of one unspaced letter with its marks."""

    def ranges(kinds: str, *blocks: tuple[int, int]) -> str:
        """The characters of these Unicode categories as ranges of a pattern, which matches ranges fast."""
        runs: list[list[int]] = []
        for code in (code for first, last in blocks for code in range(first, last + 1)):
            if unicodedata.category(chr(code))[0] in kinds:
                if runs and runs[-1][1] == code - 1:
                    runs[-1][1] = code
                else:
                    runs.append([code, code])
        return "".join(f"{chr(first)}-{chr(last)}" for first, last in runs)

    letters, marks, signs = ranges("L", *UNSPACED), ranges("M", *UNSPACED), ranges("M", VOWEL_SIGNS)
    return re.compile(rf"[{letters}{marks}]+|(?:[^\W{letters}]|[{signs}])+"), re.compile(
        rf"[{letters}{marks}][{marks}]*"
    )
