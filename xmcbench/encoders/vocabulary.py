r"""Texts as bags of words and of character n-grams: the input of the `bow` encoder if it reads texts.

Word unigrams (`\b\w+\b`, in one text or more) and character 3- to 5-grams inside words (in two texts or more). Each
half is tf-idf with sublinear counts and rows of length 1: the recipe of icd10cm's view `bow`
(`xmcbench.data.text.bow_words_chars`). Character n-grams match similar spellings, which is the only information about
labels without documents.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from xmcbench.data.texts import Texts
from xmcbench.errors import DataError
from xmcbench.method import Progress

HALVES: dict[str, dict[str, object]] = {
    "words": {"token_pattern": r"\b\w+\b"},
    "pieces": {"analyzer": "char_wb", "ngram_range": (3, 5), "min_df": 2},
}
PROGRESS_EVERY = 256  # texts between calls of `progress`


class Vocabulary:
    """Words and character n-grams with their inverse document frequencies; a call turns texts into rows.

    Parameters
    ----------
    terms : the terms of each half, in the order of their columns.
    idf : (terms,) float64 of each half.
    max_words : number of words after which a text is cut.
    """

    def __init__(
        self, terms: Mapping[str, Sequence[str]], idf: Mapping[str, NDArray[np.float64]], max_words: int
    ) -> None:
        self.terms, self.idf, self.max_words = terms, idf, max_words
        self.halves = [_vectoriser(name, terms[name], idf[name]) for name in terms]
        self.width = sum(len(half_terms) for half_terms in terms.values())

    @classmethod
    def fit(cls, texts: Iterable[str], max_words: int, progress: Progress | None = None) -> Vocabulary:
        """Collect the terms of these texts; a half without terms is left out. `progress` counts texts over all passes.

        DataError if there is no word in any text.
        """
        cut_texts = [cut(text, max_words) for text in texts]
        terms, idf = {}, {}
        for number, name in enumerate(HALVES):
            half = _vectoriser(name)
            try:
                half.fit(with_progress(cut_texts, number, len(HALVES), progress))
            except ValueError:  # scikit-learn raises it for an empty vocabulary
                continue
            terms[name] = half.get_feature_names_out().tolist()
            idf[name] = half.idf_
        if not terms:
            raise DataError(f"there is no word in any of {len(cut_texts)} texts", "Check that the texts are not empty.")
        return cls(terms, idf, max_words)

    def __call__(self, texts: Iterable[str], progress: Progress | None = None) -> sp.csr_matrix:
        """(n, width) float32 CSR with sorted indices; a text without a term of the vocabulary is an empty row."""
        cut_texts = [cut(text, self.max_words) for text in texts]
        if not cut_texts:  # scikit-learn refuses an empty list
            return sp.csr_matrix((0, self.width), dtype=np.float32)
        count = len(self.halves)
        parts = [half.transform(with_progress(cut_texts, i, count, progress)) for i, half in enumerate(self.halves)]
        rows = sp.hstack(parts, format="csr", dtype=np.float32)
        rows.sort_indices()
        return sp.csr_matrix(rows)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays from which `of` restores the vocabulary."""
        arrays: dict[str, NDArray[Any]] = {"most_words": np.array(self.max_words)}
        for name, terms in self.terms.items():
            packed = Texts.pack(terms)
            arrays |= {f"{name}.blob": packed.blob, f"{name}.offsets": packed.offsets, f"{name}.idf": self.idf[name]}
        return arrays

    @classmethod
    def of(cls, arrays: dict[str, NDArray[Any]]) -> Vocabulary:
        """Restore from the result of `arrays`; KeyError or ValueError if the arrays are something else."""
        halves = [name for name in HALVES if f"{name}.idf" in arrays]
        terms = {name: list(Texts(arrays[f"{name}.blob"], arrays[f"{name}.offsets"])) for name in halves}
        return cls(terms, {name: arrays[f"{name}.idf"] for name in halves}, int(arrays["most_words"]))


def cut(text: str, max_words: int) -> str:
    """The first words of a text, with single spaces between them."""
    return " ".join(text.split(maxsplit=max_words)[:max_words])


def with_progress(texts: Sequence[str], number: int, passes: int, progress: Progress | None) -> Iterator[str]:
    """Yield the texts and report progress; `number` is the current pass out of `passes`."""
    for done, text in enumerate(texts):
        if progress is not None and done % PROGRESS_EVERY == 0:
            progress(number * len(texts) + done, passes * len(texts))
        yield text


def distinct(*texts: Iterable[str]) -> list[str]:
    """Every text once, in order of first occurrence: a label text that is also a document counts once."""
    return list(dict.fromkeys(chain(*texts)))


def _vectoriser(name: str, terms: Sequence[str] | None = None, idf: NDArray[np.float64] | None = None) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectoriser = TfidfVectorizer(**HALVES[name], sublinear_tf=True)
    if terms is not None:
        vectoriser.set_params(vocabulary={term: column for column, term in enumerate(terms)}, min_df=1)
        vectoriser.idf_ = idf
    return vectoriser
