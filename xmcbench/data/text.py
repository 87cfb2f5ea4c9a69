"""Tf-idf features of texts: fitted on training texts only, L2-normalised rows, float32 CSR with sorted ids.

Each function takes the training texts and the texts of other splits, and returns one matrix per split, training first,
and the fitted vectorizer. Weights are computed in float64 and rounded once, so that the same texts give the same
content hash on every machine.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache

import scipy.sparse as sp

from xmcbench.data.vectorizer import Options, Part, Vectorizer, scikit_learn, stacked
from xmcbench.errors import DataError, counted

Texts = Sequence[str]
Features = tuple[list[sp.csr_matrix], Vectorizer]


def tfidf(options: Sequence[Options], train: Texts, *others: Texts) -> Features:
    """Matrices (n, d) of the parts side by side, each with sublinear counts and rows of norm 1.

    DataError if no term of the training texts passes the options of a part.
    """
    parts, matrices = [], []
    for part_options in options:
        vectorizer = scikit_learn(part_options)
        try:
            matrices.append(vectorizer.fit_transform(train))
        except ValueError as error:
            texts_given = counted(len(train), "training text")
            raise DataError(f"tf-idf of {texts_given} fails: {error}", "Are the texts empty?") from error
        parts.append(Part.of_terms(part_options, vectorizer.get_feature_names_out().tolist(), vectorizer.idf_))
    fitted = Vectorizer(parts)
    return [stacked(matrices), *(fitted.transform(texts) for texts in others)], fitted


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
    """As `bow_words`, with the words of `words_of`: the view of an import.

    Data sets of the catalogue keep `bow_words`, since their content must not change.
    """
    return tfidf([Options("words of any script", min_df=_min_df(train))], train, *others)


def _min_df(train: Texts) -> int:
    return 1 if len(train) < 10_000 else 2


def words_of(text: str) -> list[str]:
    r"""The words of a text, as `\b\w+\b` finds them, except in scripts where that pattern finds none.

    Chinese, Japanese, Thai, Lao, Khmer, Burmese and Tibetan write no spaces between words: a run of such letters gives
    its 1-, 2- and 3-grams of characters, where a character is a letter with its combining marks. Words of India's
    scripts keep their vowel signs, which `\w` doesn't match.
    """
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


def has_unspaced(text: str) -> bool:
    """Whether a text has letters of a script without spaces between words; see `words_of`."""
    return bool(_SPECIAL.search(text)) and bool(_word_patterns()[1].search(text))


# First and last code points. Of these, letters and combining marks count; digits and punctuation do not.
UNSPACED = (
    (0x0E00, 0x0FFF),  # Thai, Lao, Tibetan
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x3005, 0x3006),  # Chinese and Japanese repetition and closing marks
    (0x3031, 0x312F),  # kana, bopomofo
    (0x31A0, 0x31BF),  # bopomofo
    (0x31F0, 0x31FF),  # kana
    (0x3400, 0x9FFF),  # Chinese characters
    (0xA9E0, 0xA9FF),  # Burmese
    (0xAA60, 0xAA7F),  # Burmese
    (0xF900, 0xFAFF),  # Chinese characters
    (0xFF66, 0xFF9F),  # narrow kana
    (0x1B000, 0x1B16F),  # kana
    (0x20000, 0x3FFFF),  # Chinese characters
)
VOWEL_SIGNS = (0x0900, 0x0DFF)  # Devanagari to Sinhala
_WORD = re.compile(r"\w+")
_SPECIAL = re.compile(f"[{''.join(f'{chr(a)}-{chr(b)}' for a, b in (*UNSPACED, VOWEL_SIGNS))}]")


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
