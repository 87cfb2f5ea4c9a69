"""Tf-idf features of texts: fitted on training texts only, L2-normalised rows, float32 CSR with sorted ids.

Each function takes the training texts and the texts of other splits, and returns one matrix per split, training first.
Weights are computed in float64 and rounded once, so that the same texts give the same content hash on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from xmcbench.errors import DataError, counted

Texts = Sequence[str]


def tfidf_bow(train: Texts, *others: Texts, **recipe: Any) -> list[sp.csr_matrix]:
    """Matrices (n, d) of scikit-learn's `TfidfVectorizer(**recipe)` for `train` and each of `others`.

    DataError if no word of the training texts passes the options in `recipe`.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(**recipe)
    try:
        train_matrix = vectorizer.fit_transform(train)
    except ValueError as error:
        texts_given = counted(len(train), "training text")
        raise DataError(f"tf-idf of {texts_given} fails: {error}", "Are the texts empty?") from error
    return [_sorted_csr(train_matrix), *(_sorted_csr(vectorizer.transform(texts)) for texts in others)]


def bow_eurlex(train: Texts, *others: Texts) -> list[sp.csr_matrix]:
    """Words in at least 5 training texts, the 200,000 most frequent: `bow` and `title` of eurlex-4.3k."""
    return tfidf_bow(train, *others, sublinear_tf=True, min_df=5, max_features=200_000)


def bow_words_chars(train: Texts, *others: Texts) -> list[sp.csr_matrix]:
    r"""Word unigrams (`\b\w+\b`, min_df 1), then character 3- to 5-grams inside words (min_df 2): icd10cm's `bow`.

    Both halves have rows of norm 1, so a row has norm √2 if both its halves are non-empty.
    """
    words = tfidf_bow(train, *others, sublinear_tf=True, min_df=1, token_pattern=r"\b\w+\b")
    chars = tfidf_bow(train, *others, sublinear_tf=True, min_df=2, analyzer="char_wb", ngram_range=(3, 5))
    return [_sorted_csr(sp.hstack(pair, format="csr")) for pair in zip(words, chars, strict=True)]


def bow_words(train: Texts, *others: Texts) -> list[sp.csr_matrix]:
    r"""Word unigrams (`\b\w+\b`, sublinear, min_df 1 below 10,000 training texts, else 2): the view of an import."""
    return tfidf_bow(
        train, *others, sublinear_tf=True, min_df=1 if len(train) < 10_000 else 2, token_pattern=r"\b\w+\b"
    )


def _sorted_csr(matrix: Any) -> sp.csr_matrix:
    csr = sp.csr_matrix(matrix, dtype=np.float32)
    csr.sort_indices()
    return csr
