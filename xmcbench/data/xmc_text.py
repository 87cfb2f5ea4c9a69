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
    """The format of a text."""

    with_labels: bool  # the one-file form
    n_labels: int
    n_features: int
    label_base: int  # first valid id, 0 or 1
    feature_base: int
    header: bool  # line 1 states the widths
    exact: bool  # values are read as float64


class Rows(NamedTuple):
    """Labels and features of some lines, one row after the other, how many a row has, and its status."""

    n_labels: NDArray[np.int32]
    label_ids: NDArray[np.int32]
    n_features: NDArray[np.int32]
    feature_ids: NDArray[np.int32]
    values: NDArray[Any]  # float32, or float64 if `Text.exact`
    status: NDArray[np.uint8]


def parse(buffer: NDArray[np.uint8], starts: NDArray[np.int64], text: Text) -> Rows:
    """Parse lines; line i is `buffer[starts[i]:starts[i + 1]]` and ends with a newline. Rows with `LOOK` are empty."""
    n_rows, size = len(starts) - 1, len(buffer)
    rows = Rows(
        np.empty(n_rows, np.int32),
        np.empty(size // 2 + 1 if text.with_labels else 0, np.int32),  # a label has two bytes or more
        np.empty(n_rows, np.int32),
        np.empty(size // 3 + 1, np.int32),  # and a feature three
        np.empty(size // 3 + 1, np.float64 if text.exact else np.float32),
        np.empty(n_rows, np.uint8),
    )
    n_labels, n_features = _parse_rows(buffer, starts, text, rows)
    return rows._replace(
        label_ids=rows.label_ids[:n_labels], feature_ids=rows.feature_ids[:n_features], values=rows.values[:n_features]
    )


@njit(cache=True, nogil=True)
def _parse_rows(buffer: Any, starts: Any, text: Any, rows: Any) -> tuple[int, int]:
    n_labels = n_features = 0
    for row in range(len(starts) - 1):
        p, end = starts[row], starts[row + 1] - 1
        if end > p and buffer[end - 1] == RETURN:
            end -= 1
        labels_before, features_before = n_labels, n_features
        status = OK
        if text.with_labels:
            p, n_labels, status = parse_labels(buffer, p, end, text.n_labels, text.label_base, rows.label_ids, n_labels)
        if status != LOOK:
            n_features = parse_features(buffer, p, end, text, rows, n_features)
        if status == LOOK or n_features < 0:
            n_labels, n_features, status = labels_before, features_before, LOOK
        rows.n_labels[row] = n_labels - labels_before
        rows.n_features[row] = n_features - features_before
        rows.status[row] = status
    return n_labels, n_features


@njit(cache=True, nogil=True)
def parse_id(buffer: Any, p: Any) -> tuple[Any, Any]:
    """(id, position after it); id −1 if there is no number of at most 10 digits. A line end stops it."""
    value, first = 0, p
    while True:
        c: Any = int(buffer[p])  # int: interpreted, numpy would compute in uint8
        if c < 48 or c > 57 or p - first == 11:
            break
        value = value * 10 + (c - 48)
        p += 1
    return (value, p) if 0 < p - first < 11 else (-1, p)


@njit(cache=True, nogil=True, error_model="numpy")
def parse_short(buffer: Any, p: Any, end: Any) -> tuple[Any, Any]:
    """(value, position after it) of a number of at most 15 digits without an exponent; position −1 for all others."""
    negative = buffer[p] == 45
    p += negative
    mantissa: Any = 0
    first = p
    while True:
        c: Any = int(buffer[p])
        if c < 48 or c > 57 or p - first > 15:
            break
        mantissa = mantissa * 10 + (c - 48)
        p += 1
    digits, decimals = p - first, 0
    if c == 46:
        p += 1
        first = p
        while True:
            c = int(buffer[p])
            if c < 48 or c > 57 or p - first > 15:
                break
            mantissa = mantissa * 10 + (c - 48)
            p += 1
        decimals = p - first
        digits += decimals
    if digits == 0 or digits > 15 or (p != end and c != SPACE and c != TAB):
        return 0.0, -1
    value = float(mantissa) / POWERS[decimals]
    return (-value if negative else value), p


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
        exponent, p = parse_id(buffer, p)
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
def parse_labels(buffer: Any, start: Any, end: Any, width: Any, base: Any, ids: Any, n: Any) -> tuple[Any, Any, Any]:
    """Parse `l1,l2,…` into `ids[n:]`, sorted and unique; returns (end of the labels, new n, status).

    A line without labels begins with a space or with f:v: its labels end at `start`.
    """
    p, previous, ascending, first = start, -1, True, n
    while p < end and buffer[p] != SPACE and buffer[p] != TAB:
        label, p = parse_id(buffer, p)
        if n == first and buffer[p] == COLON:
            return start, n, OK
        label -= base
        if label < 0 or label >= width:
            return p, n, LOOK
        ascending &= label > previous
        previous = label
        ids[n] = label
        n += 1
        if p < end and buffer[p] != SPACE and buffer[p] != TAB:
            p += 1
            if buffer[p - 1] != COMMA or p == end or buffer[p] == SPACE or buffer[p] == TAB:
                return p, n, LOOK
    if ascending:
        return p, n, OK
    ids[first:n].sort()
    kept = first + 1
    for i in range(first + 1, n):
        if ids[i] != ids[kept - 1]:
            ids[kept] = ids[i]
            kept += 1
    return p, kept, OK if kept == n else TWICE


@njit(cache=True, nogil=True)
def parse_features(buffer: Any, p: Any, end: Any, text: Any, rows: Any, n: Any) -> Any:
    """Parse `f:v f:v …` into `rows` from entry n on, sorted by id; returns the new n, or −1 for an irregular row."""
    ids, values, width, base = rows.feature_ids, rows.values, text.n_features, text.feature_base
    previous, ascending, first = -1, True, n
    while True:
        while buffer[p] == SPACE or buffer[p] == TAB:
            p += 1
        if p >= end:
            break
        feature, p = parse_id(buffer, p)
        feature -= base
        if feature < 0 or feature >= width or buffer[p] != COLON:
            return -1
        value, after = parse_short(buffer, p + 1, end)
        if after < 0:
            value, after, right, exact = parse_value(buffer, p + 1, end)
            is_separated = after == end or buffer[after] == SPACE or buffer[after] == TAB
            if not (exact if text.exact else right) or not is_separated:
                return -1
        p = after
        ascending &= feature > previous
        previous = feature
        ids[n] = feature
        values[n] = value
        n += 1
    if ascending:
        return n
    order = np.argsort(ids[first:n])
    ids[first:n] = ids[first:n][order]
    values[first:n] = values[first:n][order]
    for i in range(first + 1, n):
        if ids[i] == ids[i - 1]:
            return -1
    return n
