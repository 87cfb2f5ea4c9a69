r"""The bag-of-words encoder: a weighted sum of feature embeddings, then a residual layer. The CPU's default.

Features are those of the data set, or, if the encoder reads texts, word unigrams (`\b\w+\b`, in one text or more) and
character 3- to 5-grams inside words (in two texts or more). Each half is tf-idf with sublinear counts and rows of
length 1: the recipe of icd10cm's view `bow` (`xmcbench.data.text.bow_words_chars`). Character n-grams match similar
spellings, which is the only information about labels without documents. In Chinese, Japanese, Thai and other scripts
without spaces between words, a word is a whole clause here; only the character n-grams match parts of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from xmcbench.data.tfidf import fit
from xmcbench.data.vectorizer import Options, Part, Vectorizer
from xmcbench.encoders.encoder import Encoder
from xmcbench.encoders.weights import flat, grouped, put_weights, weights_of
from xmcbench.errors import DataError, UsageError, counted
from xmcbench.files import write_npz
from xmcbench.method import Inputs, Progress
from xmcbench.npz_files import read_npz
from xmcbench.tables.ops import bag

EMBED_SCALE = 0.3  # with 1.0 the random initial vectors of rare features dominate
FILE = "bow.npz"
HALVES = {"words": Options("words"), "pieces": Options("pieces", min_df=2)}
PROGRESS_EVERY = 256  # texts between calls of `progress`


class Bag(NamedTuple):
    """A sparse batch: indptr (n + 1,), indices (nnz,) int64, values (nnz,) float32."""

    indptr: Tensor
    indices: Tensor
    values: Tensor


class SparseRows:
    """CSR rows in the form from which an encoder takes batches."""

    def __init__(self, features: sp.csr_matrix) -> None:
        self.features = features
        self.lengths: NDArray[np.int64] = np.diff(features.indptr).astype(np.int64)

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, which: NDArray[Any] | slice, device: str) -> Bag:
        x = self.features[which]
        arrays = x.indptr.astype(np.int64), x.indices.astype(np.int64), x.data.astype(np.float32)
        return Bag(*(torch.from_numpy(array).to(device) for array in arrays))


class BowEncoder(Encoder):
    """φ(x) = h + drop(relu(W h + c)), h = drop(relu(Σ x_f · E_f + b)).

    Parameters
    ----------
    n_features : d, rows of the table `embed` (d, D), whose gradient is row-sparse.
    width : D of φ.
    generator : source of the initial weights.
    vocabulary : turns texts into features; None: rows have features already, and label texts cannot be read.
    """

    kind: ClassVar[str] = "bow"

    def __init__(
        self, n_features: int, width: int, generator: torch.Generator, vocabulary: Vocabulary | None = None
    ) -> None:
        super().__init__()
        self.width, self.vocabulary = width, vocabulary
        self.embed = nn.Parameter(torch.randn(n_features, width, generator=generator) * EMBED_SCALE)
        self.embed_bias = nn.Parameter(torch.zeros(width))
        self.mix = nn.Parameter(torch.randn(width, width, generator=generator) * (2 / width) ** 0.5)
        self.mix_bias = nn.Parameter(torch.zeros(width))

    @classmethod
    def reading(
        cls,
        texts: Iterable[Iterable[str]],
        max_words: int,
        width: int,
        generator: torch.Generator,
        progress: Progress | None = None,
    ) -> BowEncoder:
        """A new encoder of texts, whose vocabulary is fitted to `texts`."""
        vocabulary = Vocabulary.fit(distinct(*texts), max_words, progress)
        return cls(vocabulary.width, width, generator, vocabulary)

    def rows(self, inputs: Inputs, progress: Progress | None = None) -> SparseRows:
        """Rows of the texts if there is a vocabulary, else of the features.

        DataError if the number of features is wrong, or the texts or features to read are missing.
        """
        if self.vocabulary is not None:
            if inputs.texts is None:
                hint = "Give the texts of the rows too: `texts` in a request, --texts FILE beside --features FILE."
                raise DataError("bow: rows have no texts, but the encoder reads texts", hint)
            return SparseRows(self.vocabulary(inputs.texts, progress))
        if inputs.features is None:
            raise DataError("bow: rows have no features, but the encoder reads features")
        if inputs.features.shape[1] != len(self.embed):
            raise DataError(f"bow: rows have {inputs.features.shape[1]} features, the encoder has {len(self.embed)}")
        return SparseRows(inputs.features)

    def label_rows(self, texts: Sequence[str], progress: Progress | None = None) -> SparseRows:
        if self.vocabulary is None:
            raise UsageError("bow: an encoder of features cannot read label texts")
        return SparseRows(self.vocabulary(texts, progress))

    def forward(self, batch: Bag, dropout: float = 0.0, generator: torch.Generator | None = None) -> Tensor:
        """See `Encoder`. On a GPU the layer's product is in bf16."""
        summed = self.summed(batch)
        hidden = drop(torch.relu(summed + self.embed_bias), dropout, generator)
        with half_products(summed):
            mixed = (hidden @ self.mix.T).to(summed.dtype)
        return hidden + drop(torch.relu(mixed + self.mix_bias), dropout, generator)

    def summed(self, batch: Bag) -> Tensor:
        """(n, D): Σ x_f · E_f of each row."""
        return bag(self.embed, *batch)

    def tables(self) -> list[nn.Parameter]:
        """The feature embeddings."""
        return [self.embed]

    def save(self, folder: Path) -> None:
        """One npz: weights and vocabulary."""
        vocabulary = {} if self.vocabulary is None else self.vocabulary.arrays()
        write_npz(folder / FILE, flat({"weight": weights_of(self), "vocabulary": vocabulary}), compressed=False)

    @classmethod
    def load(cls, folder: Path) -> BowEncoder:
        """Read what `save` wrote; DataError if the file is missing or damaged."""
        groups = grouped(read_npz(folder / FILE))
        try:
            vocabulary = Vocabulary.of(groups["vocabulary"]) if "vocabulary" in groups else None
            n_features, width = groups["weight"]["embed"].shape
            encoder = cls(n_features, width, torch.Generator(), vocabulary)
            put_weights(encoder, groups["weight"])
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            raise DataError(f"{folder / FILE}: not a bow encoder ({error})", "Fit again.") from error
        return encoder


def half_products(tensor: Tensor) -> torch.autocast:
    """Autocast to bf16 where the tensor is on a GPU; everything else stays in float32."""
    kind = tensor.device.type
    return torch.autocast(kind, torch.bfloat16, enabled=kind != "cpu")


def drop(x: Tensor, rate: float, generator: torch.Generator | None) -> Tensor:
    """Inverted dropout drawn from `generator`; no dropout without one."""
    if rate <= 0 or generator is None:
        return x
    mask = torch.empty_like(x).bernoulli_(1 - rate, generator=generator)
    return x * mask / (1 - rate)


class Vocabulary:
    """Words and character n-grams with their inverse document frequencies; a call turns texts into rows.

    Parameters
    ----------
    vectorizer : its parts have options of `HALVES`.
    max_words : number of words after which a text is cut.
    """

    def __init__(self, vectorizer: Vectorizer, max_words: int) -> None:
        self.vectorizer, self.max_words = vectorizer, max_words
        self.width = vectorizer.n_features

    @classmethod
    def fit(cls, texts: Iterable[str], max_words: int, progress: Progress | None = None) -> Vocabulary:
        """Collect the terms of these texts; a half without terms is left out. `progress` counts texts over all passes.

        DataError if there is no word in any text.
        """
        cut_texts = [cut(text, max_words) for text in texts]
        parts = []
        for number, options in enumerate(HALVES.values()):
            try:
                half = fit(options, with_progress(cut_texts, number, len(HALVES), progress))
            except ValueError:  # no term is left
                continue
            parts.append(Part.of_terms(options, half.terms, half.idf))
        if not parts:
            texts_given = counted(len(cut_texts), "text")
            raise DataError(f"there is no word in any of {texts_given}", "Check that the texts are not empty.")
        return cls(Vectorizer(parts), max_words)

    def __call__(self, texts: Iterable[str], progress: Progress | None = None) -> sp.csr_matrix:
        """(n, width) float32 CSR with sorted indices; a text without a term of the vocabulary is an empty row."""
        cut_texts = [cut(text, self.max_words) for text in texts]
        return self.vectorizer.transform(with_progress(cut_texts, 0, 1, progress))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays from which `of` restores the vocabulary."""
        halves = np.array([options.tokens for options in self.vectorizer.options()])
        return {"max_words": np.array(self.max_words), "halves": halves, **self.vectorizer.arrays()}

    @classmethod
    def of(cls, arrays: dict[str, NDArray[Any]]) -> Vocabulary:
        """Restore from the result of `arrays`; KeyError or ValueError if the arrays are something else."""
        vectorizer = Vectorizer.of([HALVES[half] for half in arrays["halves"].tolist()], arrays)
        if fault := vectorizer.problem():
            raise ValueError(fault)
        return cls(vectorizer, int(arrays["max_words"]))


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
