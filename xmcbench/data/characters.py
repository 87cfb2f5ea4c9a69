r"""Classes of characters, of which words are made.

Chinese, Japanese, Thai, Lao, Khmer, Burmese and Tibetan write no spaces between words: where words of any script are
asked for, a run of such letters gives its 1-, 2- and 3-grams of characters, where a character is a letter with its
combining marks. Words of India's scripts then keep their vowel signs, which `\w` doesn't match.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

OTHER, WORD, LETTER, MARK = 0, 1, 2, 3  # LETTER and MARK: of scripts without spaces between words
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


@cache
def word_classes() -> NDArray[np.uint8]:
    r"""(1114112,) class of each code point: `WORD` where `\w` matches, else `OTHER`."""
    classes = np.zeros(0x110000, np.uint8)
    characters = np.arange(len(classes), dtype="<u4").tobytes().decode("utf-32-le", "surrogatepass")
    for run in re.finditer(r"\w+", characters):
        classes[run.start() : run.end()] = WORD
    return classes


@cache
def any_script_classes() -> NDArray[np.uint8]:
    """As `word_classes`, with `LETTER` and `MARK` in unspaced scripts, and vowel signs of India's scripts as `WORD`."""
    classes = word_classes().copy()
    for code, kind in _categories(*UNSPACED):
        if kind in "LM":
            classes[code] = LETTER if kind == "L" else MARK
    for code, kind in _categories(VOWEL_SIGNS):
        if kind == "M":
            classes[code] = WORD
    return classes


def _categories(*blocks: tuple[int, int]) -> Iterator[tuple[int, str]]:
    """(code point, first letter of its Unicode category) for each code point of the blocks."""
    for first, last in blocks:
        for code in range(first, last + 1):
            yield code, unicodedata.category(chr(code))[0]


def has_unspaced(text: str) -> bool:
    """Whether a text has letters or marks of a script without spaces between words."""
    if text.isascii():
        return False
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    return bool((any_script_classes()[codes] >= LETTER).any())
