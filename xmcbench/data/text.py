"""Tf-idf views of texts: fitted on training texts only, L2-normalised rows, float32 CSR with sorted ids.

Each function takes the training texts and the texts of other splits, and returns one matrix per split, training first,
and the fitted vectorizer. Weights are computed in float64 and rounded once, so that the same texts give the same
content hash on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence

import scipy.sparse as sp

from xmcbench.data.tfidf import fit, training_rows
from xmcbench.data.vectorizer import Options, Part, Vectorizer
from xmcbench.errors import DataError, counted

Texts = Sequence[str]
Features = tuple[list[sp.csr_matrix], Vectorizer]


def tfidf(options: Sequence[Options], train: Texts, *others: Texts) -> Features:
    """Matrices (n, d) of the parts side by side, each with sublinear counts and rows of norm 1.

    DataError if no term of the training texts passes the options of a part.
    """
    fits = []
    for part_options in options:
        try:
            fits.append(fit(part_options, train))
        except ValueError as error:
            texts_given = counted(len(train), "training text")
            raise DataError(f"tf-idf of {texts_given} fails: {error}", "Are the texts empty?") from error
    parts = [Part.of_terms(o, part.terms, part.idf) for o, part in zip(options, fits, strict=True)]
    fitted = Vectorizer(parts)
    return [training_rows(fits), *(fitted.transform(texts) for texts in others)], fitted


def bow_eurlex(train: Texts, *others: Texts) -> Features:
    """Words in at least 5 training texts, the 200,000 most frequent: `bow` and `title` of eurlex-4.3k."""
    return tfidf([Options("long words", min_df=5, max_features=200_000)], train, *others)


def bow_words_chars(train: Texts, *others: Texts) -> Features:
    r"""Word unigrams (`\b\w+\b`, min_df 1), then character 3- to 5-grams inside words (min_df 2): icd10cm's `bow`.

    Both halves have rows of norm 1, so a row has norm √2 if both its halves are non-empty.
    """
    return tfidf([Options("words"), Options("pieces", min_df=2)], train, *others)


def bow_words(train: Texts, *others: Texts) -> Features:
    r"""Word unigrams (`\b\w+\b`, sublinear, min_df 1 below 10,000 training texts, else 2)."""
    return tfidf([Options("words", min_df=_min_df(train))], train, *others)


def bow_any_script(train: Texts, *others: Texts) -> Features:
    """As `bow_words`, in scripts without spaces too (`xmcbench.data.characters`): the view of an import.

    Data sets of the catalogue keep `bow_words`, since their content must not change.
    """
    return tfidf([Options("words of any script", min_df=_min_df(train))], train, *others)


def _min_df(train: Texts) -> int:
    return 1 if len(train) < 10_000 else 2
