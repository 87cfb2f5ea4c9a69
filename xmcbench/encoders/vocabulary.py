r"""Texts as bags of words and of pieces of words: what the `bow` encoder reads where it is given texts.

Word unigrams (`\b\w+\b`, seen in one text or more) beside character 3- to 5-grams inside words (in two or more), each
half tf-idf with sublinear counts and rows of length 1: the recipe of icd10cm's view `bow`
(`xmcbench.data.text.bow_words_chars`). Words say what a text is about; pieces of them bring together what is
spelled alike, which is all that a label no document has can go by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xmcbench.data.texts import Texts
from xmcbench.errors import DataError

if TYPE_CHECKING:
    import scipy.sparse as sp

HALVES: dict[str, dict[str, Any]] = {
    "words": {"token_pattern": r"\b\w+\b"},
    "pieces": {"analyzer": "char_wb", "ngram_range": (3, 5), "min_df": 2},
}
TELL_EVERY = 256  # texts
Progress = Callable[[int, int], None]


class Vocabulary:
    """Words and pieces with their inverse document frequencies; a call turns texts into rows.

    Parameters
    ----------
    terms : those of each half, in the order of their columns.
    idf : (terms,) float64 of each half.
    most_words : a text is cut after so many.
    """

    def __init__(
        self, terms: Mapping[str, Sequence[str]], idf: Mapping[str, NDArray[np.float64]], most_words: int
    ) -> None:
        self.terms, self.idf, self.most_words = terms, idf, most_words
        self.halves = [_vectoriser(name, terms[name], idf[name]) for name in terms]
        self.width = sum(len(each) for each in terms.values())

    @classmethod
    def fit(cls, texts: Iterable[str], most_words: int, progress: Progress | None = None) -> Vocabulary:
        """The terms of these texts. A half that finds none is left out. `progress` is told texts done and in all.

        Raises
        ------
        DataError : there is no word in any text.
        """
        kept = [cut(text, most_words) for text in texts]
        terms, idf = {}, {}
        for number, name in enumerate(HALVES):
            half = _vectoriser(name)
            try:
                half.fit(watched(kept, number, len(HALVES), progress))
            except ValueError:  # sklearn's for an empty vocabulary
                continue
            terms[name] = half.get_feature_names_out().tolist()
            idf[name] = half.idf_
        if not terms:
            raise DataError(f"no word stands in any of {len(kept)} texts", "Are the texts empty?")
        return cls(terms, idf, most_words)

    def __call__(self, texts: Iterable[str], progress: Progress | None = None) -> sp.csr_matrix:
        """(n, width) float32 CSR with sorted indices; a text without a known term is an empty row."""
        import scipy.sparse as sp

        kept = [cut(text, self.most_words) for text in texts]
        if not kept:  # which sklearn refuses
            return sp.csr_matrix((0, self.width), dtype=np.float32)
        count = len(self.halves)
        parts = [half.transform(watched(kept, i, count, progress)) for i, half in enumerate(self.halves)]
        rows = sp.hstack(parts, format="csr", dtype=np.float32)
        rows.sort_indices()
        return sp.csr_matrix(rows)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Plain arrays that `of` reads."""
        found: dict[str, NDArray[Any]] = {"most_words": np.array(self.most_words)}
        for name, terms in self.terms.items():
            packed = Texts.pack(terms)
            found |= {f"{name}.blob": packed.blob, f"{name}.offsets": packed.offsets, f"{name}.idf": self.idf[name]}
        return found

    @classmethod
    def of(cls, arrays: dict[str, NDArray[Any]]) -> Vocabulary:
        """What `arrays` gave; KeyError or ValueError where that isn't what they are."""
        halves = [name for name in HALVES if f"{name}.idf" in arrays]
        terms = {name: list(Texts(arrays[f"{name}.blob"], arrays[f"{name}.offsets"])) for name in halves}
        return cls(terms, {name: arrays[f"{name}.idf"] for name in halves}, int(arrays["most_words"]))


def cut(text: str, most_words: int) -> str:
    """The first words of a text, with single spaces between them."""
    return " ".join(text.split(maxsplit=most_words)[:most_words])


def watched(texts: Sequence[str], number: int, passes: int, progress: Progress | None) -> Iterator[str]:
    """The texts, one after the other, and word of them: this is pass `number` of so many."""
    for done, text in enumerate(texts):
        if progress is not None and done % TELL_EVERY == 0:
            progress(number * len(texts) + done, passes * len(texts))
        yield text


def distinct(*texts: Iterable[str]) -> list[str]:
    """Every text once, in the order of first sight: a description that is also a document counts once."""
    return list(dict.fromkeys(chain(*texts)))


def _vectoriser(name: str, terms: Sequence[str] | None = None, idf: NDArray[np.float64] | None = None) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    made = TfidfVectorizer(**HALVES[name], sublinear_tf=True)
    if terms is not None:
        made.set_params(vocabulary={term: column for column, term in enumerate(terms)}, min_df=1)
        made.idf_ = idf
    return made
