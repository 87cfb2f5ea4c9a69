"""Kernels that parse XC repository text, lines of `l1,l2 f:v f:v` or `f:v f:v`, from bytes into CSR arrays.

The kernels parse only regular lines. Any other line is marked `LOOK` and left to Python (`xmcbench.data.lines`), which
either parses it or reports its error. Lines are independent of each other, so threads don't change the result.

Values equal `np.float32(float(text))`, or `float(text)` in an `exact` text. With at most 15 digits and a power of ten
of at most 22, one float64 operation is correctly rounded, and with at most 18 digits almost always two are. Longer
numbers are computed with a bounded error and accepted if both ends of the error interval round to the same float32;
otherwise, and in an `exact` text, Python parses the line.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

OK, LOOK, TWICE = 0, 1, 2  # LOOK: Python must parse the row; TWICE: a label is repeated in an otherwise regular row
SPACE, TAB, RETURN, COMMA, COLON = 32, 9, 13, 44, 58
POWERS = 10.0 ** np.arange(23)
MARGIN = 2.0**-50  # four units in the last place; the three roundings and the truncated digits cause an error below two
SPLIT = 2.0**27 + 1  # splits a float64 into two halves whose products are exact
MAX_DIGITS = 18  # decimal digits that fit into an int64


class Text(NamedTuple):
    """The bytes of a file and its format."""

    buffer: NDArray[np.uint8]
    starts: NDArray[np.int64]  # (rows + 1,) start of each line; a line ends one byte before the next one starts
    with_labels: bool  # the one-file form
    n_labels: int
    n_features: int
    label_base: int  # first valid id, 0 or 1
    feature_base: int
    header: bool  # line 1 states the widths
    exact: bool  # values are read as float64


class Rows(NamedTuple):
    """Labels and features of all lines as CSR arrays, and a status per line: OK, LOOK or TWICE."""

    label_starts: NDArray[np.int64]
    label_ids: NDArray[np.int32]
    feature_starts: NDArray[np.int64]
    feature_ids: NDArray[np.int32]
    values: NDArray[Any]  # float32, or float64 if `Text.exact`
    status: NDArray[np.uint8]


@njit(cache=True, nogil=True)
def line_end(buffer: Any, starts: Any, row: Any) -> Any:
    """End of line `row`, without its newline and carriage return."""
    end = starts[row + 1] - 1
    if end > starts[row] and buffer[end - 1] == RETURN:
        end -= 1
    return end


@njit(cache=True, nogil=True)
def labels_end(buffer: Any, start: Any, end: Any) -> Any:
    """End of the labels of a one-file line; `start` if it has none (begins with a space or with f:v)."""
    p = start
    while p < end and buffer[p] != SPACE and buffer[p] != TAB:
        if buffer[p] == COLON:
            return start
        p += 1
    return p


@njit(cache=True, nogil=True)
def count_entries(text: Any, first: Any, last: Any, n_labels: Any, n_features: Any) -> None:
    """Count the labels and features of each line of [first, last) by its commas and colons."""
    for row in range(first, last):
        start, end = text.starts[row], line_end(text.buffer, text.starts, row)
        if text.with_labels:
            stop = labels_end(text.buffer, start, end)
            commas = 0
            for p in range(start, stop):
                commas += text.buffer[p] == COMMA
            n_labels[row] = commas + 1 if stop > start else 0
            start = stop
        colons = 0
        for p in range(start, end):
            colons += text.buffer[p] == COLON
        n_features[row] = colons


@njit(cache=True, nogil=True)
def parse_id(buffer: Any, p: Any, end: Any) -> tuple[Any, Any]:
    """(id, position after it); id −1 if there is no number of at most 10 digits."""
    value, first = 0, p
    while p < end and p - first < 11 and 48 <= buffer[p] <= 57:
        value = value * 10 + (int(buffer[p]) - 48)  # int: interpreted, numpy would compute in uint8
        p += 1
    return (value, p) if 0 < p - first < 11 else (-1, p)


@njit(cache=True, nogil=True, error_model="numpy")
def scaled(mantissa: Any, power: Any) -> tuple[Any, Any]:
    """(mantissa · 10^power, whether it is correctly rounded) for an int64 of up to 18 digits and |power| ≤ 22.

    The quotient or product in float64 is corrected by its rounding error (Dekker, Numerische Mathematik 1971).
    """
    high = float(mantissa)
    low = float(mantissa - np.int64(high))
    scale = POWERS[abs(power)]
    value = high / scale if power < 0 else high * scale
    factor = value if power < 0 else high
    product = factor * scale
    a, b = factor * SPLIT, scale * SPLIT
    a = a - (a - factor)
    b = b - (b - scale)
    error = ((a * b - product) + a * (scale - b) + (factor - a) * b) + (factor - a) * (scale - b)
    if power < 0:
        rest = ((high - product) - error + low) / scale
        bound = (abs(high - product) + abs(error) + abs(low)) / scale * MARGIN
    else:
        rest = error + low * scale
        bound = (abs(error) + abs(low * scale)) * MARGIN
    return value + rest, value + (rest - bound) == value + (rest + bound)


@njit(cache=True, nogil=True, error_model="numpy")
def parse_value(buffer: Any, p: Any, end: Any) -> tuple[Any, Any, Any, Any]:
    """(float64 value, position after it, right as float32, right as float64) of a decimal number."""
    negative = p < end and buffer[p] == 45
    if p < end and (buffer[p] == 45 or buffer[p] == 43):
        p += 1
    mantissa, digits, power, has_digits = np.int64(0), 0, 0, False
    point = False
    while p < end:
        c: Any = int(buffer[p])
        if 48 <= c <= 57:
            has_digits = True
            if digits < MAX_DIGITS:
                mantissa = mantissa * 10 + (c - 48)
                digits += mantissa > 0
                power -= point
            else:  # too long for the mantissa: truncate; `MARGIN` covers the error
                digits += 1
                power += not point
        elif c == 46 and not point:
            point = True
        else:
            break
        p += 1
    if has_digits and p < end and (buffer[p] == 101 or buffer[p] == 69):
        p += 1
        negative_exponent = p < end and buffer[p] == 45
        if p < end and (buffer[p] == 45 or buffer[p] == 43):
            p += 1
        exponent, p = parse_id(buffer, p, end)
        if exponent < 0:
            return 0.0, p, False, False
        power += -exponent if negative_exponent else exponent
    if not has_digits:
        return 0.0, p, False, False
    if mantissa == 0:
        return -0.0 if negative else 0.0, p, True, True
    if power < -44 or power > 44:
        return 0.0, p, False, False
    value = float(mantissa)
    exact = digits <= 15 and -22 <= power <= 22
    if not exact and digits <= MAX_DIGITS and -22 <= power <= 22:
        value, exact = scaled(mantissa, power)
        if exact:
            return -value if negative else value, p, np.isfinite(np.float32(value)), True
        value = float(mantissa)
    step = min(22, max(-22, power))
    value = value * POWERS[step] if step >= 0 else value / POWERS[-step]
    remaining_power = power - step
    value = value * POWERS[remaining_power] if remaining_power >= 0 else value / POWERS[-remaining_power]
    if negative:
        value = -value
    low = np.float32(value - value * MARGIN)
    clean = exact or low == np.float32(value + value * MARGIN)
    return value, p, clean and np.isfinite(np.float32(value)), exact


@njit(cache=True, nogil=True)
def parse_labels(buffer: Any, start: Any, end: Any, width: Any, base: Any, ids: Any) -> int:
    """Parse `l1,l2,…` into `ids`, sorted; returns the row's status."""
    p, previous, ascending, n = start, -1, True, 0
    while p < end:
        label, p = parse_id(buffer, p, end)
        label -= base
        if label < 0 or label >= width or n >= len(ids):
            return LOOK
        ascending &= label > previous
        previous = label
        ids[n] = label
        n += 1
        if p < end:
            if buffer[p] != COMMA or p + 1 == end:
                return LOOK
            p += 1
    if n != len(ids):
        return LOOK
    if not ascending:
        ids.sort()
        for i in range(1, n):
            if ids[i] == ids[i - 1]:
                return TWICE
    return OK


@njit(cache=True, nogil=True)
def parse_features(text: Any, start: Any, end: Any, ids: Any, values: Any) -> int:
    """Parse `f:v f:v …` into `ids` and `values`, sorted by id; returns the row's status."""
    buffer, width, base = text.buffer, text.n_features, text.feature_base
    p, previous, ascending, n = start, -1, True, 0
    while True:
        while p < end and (buffer[p] == SPACE or buffer[p] == TAB):
            p += 1
        if p == end:
            break
        feature, p = parse_id(buffer, p, end)
        feature -= base
        if feature < 0 or feature >= width or n >= len(ids) or p >= end or buffer[p] != COLON:
            return LOOK
        value, p, right, exact = parse_value(buffer, p + 1, end)
        if not (exact if text.exact else right) or (p < end and buffer[p] != SPACE and buffer[p] != TAB):
            return LOOK
        ascending &= feature > previous
        previous = feature
        ids[n] = feature
        values[n] = value
        n += 1
    if n != len(ids):
        return LOOK
    if not ascending:
        order = np.argsort(ids)
        ids[:] = ids[order]
        values[:] = values[order]
        for i in range(1, n):
            if ids[i] == ids[i - 1]:
                return LOOK
    return OK


@njit(cache=True, nogil=True)
def parse_rows(text: Any, first: Any, last: Any, rows: Any) -> None:
    """Parse lines [first, last) of `text` into `rows`."""
    for row in range(first, last):
        start, end = text.starts[row], line_end(text.buffer, text.starts, row)
        row_status = OK
        if text.with_labels:
            stop = labels_end(text.buffer, start, end)
            ids = rows.label_ids[rows.label_starts[row] : rows.label_starts[row + 1]]
            row_status = parse_labels(text.buffer, start, stop, text.n_labels, text.label_base, ids)
            start = stop
        ids = rows.feature_ids[rows.feature_starts[row] : rows.feature_starts[row + 1]]
        values = rows.values[rows.feature_starts[row] : rows.feature_starts[row + 1]]
        if parse_features(text, start, end, ids, values) == LOOK:
            row_status = LOOK
        rows.status[row] = row_status
