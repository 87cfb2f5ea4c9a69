"""The fitted tf-idf of a view: it turns new texts into rows with the features of the view.

A vectorizer has one part or several, such as words and pieces of words, whose columns stand side by side. In files, the
terms of a part are one array of code points and the offsets in it, so that opening a data set makes no strings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from xmcbench.errors import DataError
from xmcbench.files import write_json, write_npz
from xmcbench.inputs import read_json, typed
from xmcbench.npz_files import read_npz

if TYPE_CHECKING:
    from xmcbench.data.term_kernels import Terms

FORMAT = 1  # version of the files that `save` writes
ARRAYS, OPTIONS = "vectorizer.npz", "vectorizer.json"
Tokens = Literal["words", "long words", "words of any script", "pieces"]


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    r"""What the terms of a part are.

    Attributes
    ----------
    tokens : "words" (`\b\w+\b`), "long words" (of two characters or more), "words of any script"
        (`xmcbench.data.characters`), or "pieces": the 3- to 5-grams of characters of each word, which has a space at
        both ends.
    min_df : smallest number of training texts with a term.
    max_features : only this many terms, the most frequent ones; None for all.
    """

    tokens: Tokens
    min_df: int = 1
    max_features: int | None = None


class Part:
    """The terms of one kind, in the order of their columns, and the weight of each.

    Parameters
    ----------
    codes : the code points of all terms, one after the other; unsigned.
    offsets : (m + 1,) int64 positions in `codes`; term i is `codes[offsets[i]:offsets[i + 1]]`.
    idf : (m,) float64.
    """

    def __init__(self, options: Options, codes: NDArray[Any], offsets: NDArray[np.int64], idf: NDArray[Any]) -> None:
        self.options, self.codes, self.offsets, self.idf = options, codes, offsets, idf

    @classmethod
    def of_terms(cls, options: Options, terms: Sequence[str], idf: NDArray[np.float64]) -> Part:
        """From terms as strings."""
        blob = "".join(terms).encode("utf-32-le", "surrogatepass")
        codes = np.frombuffer(blob, np.uint32)
        codes = codes.astype(np.min_scalar_type(int(codes.max(initial=0))))
        return cls(options, codes, np.cumsum([0, *map(len, terms)], dtype=np.int64), idf)

    def terms(self) -> list[str]:
        """The terms as strings."""
        text = self.codes.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")
        return [text[start:end] for start, end in pairwise(self.offsets.tolist())]

    def problem(self) -> str:
        """What is wrong with the arrays; "" if nothing is."""
        types = [(self.codes, "u"), (self.offsets, "i"), (self.idf, "f")]
        if any(array.ndim != 1 or array.dtype.kind != kind for array, kind in types):
            return "arrays of other types"
        if self.offsets.dtype != np.int64 or self.idf.dtype != np.float64 or self.codes.dtype.itemsize > 4:
            return "arrays of other types"
        ends = self.offsets
        if (
            len(ends) != len(self.idf) + 1
            or ends[0] != 0
            or ends[-1] != len(self.codes)
            or (ends[1:] <= ends[:-1]).any()
        ):
            return "the offsets do not fit the terms"
        if int(self.codes.max(initial=0)) > 0x10FFFF:
            return "not code points"
        return "" if np.isfinite(self.idf).all() else "a weight is not finite"

    @cached_property
    def known(self) -> Terms:
        """The terms in the form in which tokens are looked up; made at the first use.

        DataError if a term is there twice.
        """
        from xmcbench.data.term_kernels import Terms  # numba is slow to import, and opening a data set makes no rows

        terms = Terms.of(self.codes, self.offsets)
        if terms.n != len(self.idf):
            raise DataError("damaged vectorizer: a term is there twice", "Import, parse or export the data set again.")
        return terms


class Vectorizer:
    """The fitted tf-idf of a view; immutable. Made by the functions of `xmcbench.data.text`."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = tuple(parts)
        self.n_features = sum(len(part.idf) for part in parts)

    def transform(self, texts: Iterable[str]) -> sp.csr_matrix:
        """(n, d) float32 CSR with sorted ids; a row depends on its text alone, and unknown terms are left out.

        The texts of other splits than train give the rows of the view, to the bit. Those of train may differ in the
        last bit, since fitting sums the squares of a row in another order.
        """
        from xmcbench.data.tfidf import known_rows

        kinds = [part.options.tokens for part in self.parts]
        return known_rows(kinds, [part.known for part in self.parts], [part.idf for part in self.parts], texts)

    def term(self, feature: int) -> str:
        """The term of a column, as people read it: a piece of a word has a dash where the word goes on, as "-ing"."""
        for part in self.parts:
            if feature < len(part.idf):
                codes = part.codes[part.offsets[feature] : part.offsets[feature + 1]]
                term = codes.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")
                if part.options.tokens != "pieces":
                    return term
                return ("" if term[0] == " " else "-") + term.strip() + ("" if term[-1] == " " else "-")
            feature -= len(part.idf)
        raise IndexError(f"{self.n_features} features")

    def options(self) -> list[Options]:
        """The options of each part."""
        return [part.options for part in self.parts]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays from which `of` makes the vectorizer again, with its options."""
        return {
            f"{number}.{name}": getattr(part, name)
            for number, part in enumerate(self.parts)
            for name in ("codes", "offsets", "idf")
        }

    @classmethod
    def of(cls, options: Sequence[Options], arrays: Mapping[str, NDArray[Any]]) -> Vectorizer:
        """The inverse of `options` and `arrays`, which `problem` checks; KeyError if an array is missing."""
        names = ("codes", "offsets", "idf")
        return cls([Part(o, *(arrays[f"{number}.{name}"] for name in names)) for number, o in enumerate(options)])

    def problem(self) -> str:
        """What is wrong with the arrays of a part; "" if nothing is."""
        return next((f"vectorizer: {fault}" for part in self.parts if (fault := part.problem())), "")

    def save(self, folder: Path) -> list[Path]:
        """Write `ARRAYS` and `OPTIONS` into an existing folder; returns their paths."""
        write_npz(folder / ARRAYS, self.arrays())
        write_json(folder / OPTIONS, {"format": FORMAT, "parts": msgspec.to_builtins(self.options())})
        return [folder / ARRAYS, folder / OPTIONS]

    @classmethod
    def load(cls, folder: Path) -> Vectorizer:
        """Read what `save` wrote; DataError if a file is missing or damaged, or of another format."""
        path = folder / OPTIONS
        hint = "Import or export again."
        facts = typed(read_json(path, hint), _Facts, str(path), hint)
        if facts.format != FORMAT:
            raise DataError(f"{path}: format {facts.format}, this version reads {FORMAT}", hint)
        arrays = read_npz(folder / ARRAYS)
        try:
            vectorizer = cls.of(facts.parts, arrays)
            fault = vectorizer.problem()
        except KeyError as error:
            fault = f"{error} is missing"
        if fault:
            raise DataError(f"{folder / ARRAYS}: damaged ({fault})", hint)
        return vectorizer


class _Facts(msgspec.Struct):
    format: int
    parts: list[Options]
