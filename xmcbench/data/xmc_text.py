"""Kernels that read XC repository text: lines of `l1,l2 f:v f:v` or `f:v f:v` as bytes, straight into CSR arrays.

The kernels know clean lines only. Any other line is marked `LOOK` and left to Python (`xmcbench.data.lines`), which
either understands it or says what is wrong with it. Each line is independent of the others, so threads change nothing.

Values equal `np.float32(float(text))`. Up to 15 digits and a power of ten up to 22 the float64 is exact in one step.
Anything longer is computed with a known error, and kept where both ends of the error interval round to the same
float32; where they don't, Python decides.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

OK, LOOK, TWICE = 0, 1, 2  # TWICE: a label stands twice in the row, otherwise clean
SPACE, TAB, NEWLINE, RETURN, COMMA, COLON = 32, 9, 10, 13, 44, 58
POWERS = 10.0 ** np.arange(23)
MARGIN = 2.0**-50  # four units in the last place; the three roundings and the cut digits make less than two
MOST_DIGITS = 18  # so many fit an int64


@njit(cache=True, nogil=True)
def count_newlines(
    buffer: Any,
    start: Any,
    stop: Any,
) -> int:
    """Newlines in buffer[start:stop]."""
    found = 0
    for p in range(start, stop):
        found += buffer[p] == NEWLINE
    return found


@njit(cache=True, nogil=True)
def fill_starts(
    buffer: Any,
    start: Any,
    stop: Any,
    out: Any,
    at: Any,
) -> None:
    """Write the position after each newline of buffer[start:stop] to out[at], out[at + 1], …"""
    for p in range(start, stop):
        if buffer[p] == NEWLINE:
            out[at] = p + 1
            at += 1


@njit(cache=True, nogil=True)
def line_end(
    buffer: Any,
    starts: Any,
    row: Any,
) -> Any:
    """Where line `row` ends, without its newline and carriage return."""
    end = starts[row + 1] - 1
    if end > starts[row] and buffer[end - 1] == RETURN:
        end -= 1
    return end


@njit(cache=True, nogil=True)
def labels_end(
    buffer: Any,
    start: Any,
    end: Any,
) -> Any:
    """Where the labels of a one-file line end; `start` when it has none (begins with a blank or with f:v)."""
    p = start
    while p < end and buffer[p] != SPACE and buffer[p] != TAB:
        if buffer[p] == COLON:
            return start
        p += 1
    return p


@njit(cache=True, nogil=True)
def count_entries(
    buffer: Any,
    starts: Any,
    first: Any,
    last: Any,
    with_labels: Any,
    n_labels: Any,
    n_features: Any,
) -> None:
    """How many labels and features each line of [first, last) holds, by its commas and colons."""
    for row in range(first, last):
        start, end = starts[row], line_end(buffer, starts, row)
        if with_labels:
            stop = labels_end(buffer, start, end)
            commas = 0
            for p in range(start, stop):
                commas += buffer[p] == COMMA
            n_labels[row] = commas + 1 if stop > start else 0
            start = stop
        colons = 0
        for p in range(start, end):
            colons += buffer[p] == COLON
        n_features[row] = colons


@njit(cache=True, nogil=True)
def parse_id(
    buffer: Any,
    p: Any,
    end: Any,
) -> tuple[Any, Any]:
    """(id, position after it); id −1 when there is no number of at most 10 digits."""
    value, first = 0, p
    while p < end and p - first < 11 and 48 <= buffer[p] <= 57:
        value = value * 10 + (buffer[p] - 48)
        p += 1
    return (value, p) if 0 < p - first < 11 else (-1, p)


@njit(cache=True, nogil=True, error_model="numpy")
def parse_value(
    buffer: Any,
    p: Any,
    end: Any,
) -> tuple[Any, Any, Any]:
    """(value, position after it, clean) of a decimal number."""
    negative = p < end and buffer[p] == 45
    if p < end and (buffer[p] == 45 or buffer[p] == 43):
        p += 1
    mantissa, digits, power, seen = np.int64(0), 0, 0, False
    point = False
    while p < end:
        c = buffer[p]
        if 48 <= c <= 57:
            seen = True
            if digits < MOST_DIGITS:
                mantissa = mantissa * 10 + (c - 48)
                digits += mantissa > 0
                power -= point
            else:  # too long for the mantissa: cut, which the margin covers
                digits += 1
                power += not point
        elif c == 46 and not point:
            point = True
        else:
            break
        p += 1
    if seen and p < end and (buffer[p] == 101 or buffer[p] == 69):
        p += 1
        minus = p < end and buffer[p] == 45
        if p < end and (buffer[p] == 45 or buffer[p] == 43):
            p += 1
        exponent, p = parse_id(buffer, p, end)
        if exponent < 0:
            return np.float32(0), p, False
        power += -exponent if minus else exponent
    if not seen:
        return np.float32(0), p, False
    if mantissa == 0:
        return np.float32(-0.0 if negative else 0.0), p, True
    if power < -44 or power > 44:
        return np.float32(0), p, False
    value = float(mantissa)
    exact = digits <= 15 and -22 <= power <= 22
    step = min(22, max(-22, power))
    value = value * POWERS[step] if step >= 0 else value / POWERS[-step]
    rest = power - step
    value = value * POWERS[rest] if rest >= 0 else value / POWERS[-rest]
    if negative:
        value = -value
    low = np.float32(value - value * MARGIN)
    clean = exact or low == np.float32(value + value * MARGIN)
    out = np.float32(value)
    return out, p, clean and np.isfinite(out)


@njit(cache=True, nogil=True)
def parse_labels(
    buffer: Any,
    start: Any,
    end: Any,
    width: Any,
    base: Any,
    ids: Any,
) -> int:
    """Read `l1,l2,…` into `ids`, sorted; the row's status."""
    p, previous, rising, n = start, -1, True, 0
    while p < end:
        found, p = parse_id(buffer, p, end)
        found -= base
        if found < 0 or found >= width or n >= len(ids):
            return LOOK
        rising &= found > previous
        previous = found
        ids[n] = found
        n += 1
        if p < end:
            if buffer[p] != COMMA or p + 1 == end:
                return LOOK
            p += 1
    if n != len(ids):
        return LOOK
    if not rising:
        ids.sort()
        for i in range(1, n):
            if ids[i] == ids[i - 1]:
                return TWICE
    return OK


@njit(cache=True, nogil=True)
def parse_features(
    buffer: Any,
    start: Any,
    end: Any,
    width: Any,
    base: Any,
    ids: Any,
    values: Any,
) -> int:
    """Read `f:v f:v …` into `ids` and `values`, sorted by id; the row's status."""
    p, previous, rising, n = start, -1, True, 0
    while True:
        while p < end and (buffer[p] == SPACE or buffer[p] == TAB):
            p += 1
        if p == end:
            break
        found, p = parse_id(buffer, p, end)
        found -= base
        if found < 0 or found >= width or n >= len(ids) or p >= end or buffer[p] != COLON:
            return LOOK
        value, p, clean = parse_value(buffer, p + 1, end)
        if not clean or (p < end and buffer[p] != SPACE and buffer[p] != TAB):
            return LOOK
        rising &= found > previous
        previous = found
        ids[n] = found
        values[n] = value
        n += 1
    if n != len(ids):
        return LOOK
    if not rising:
        order = np.argsort(ids)
        ids[:] = ids[order]
        values[:] = values[order]
        for i in range(1, n):
            if ids[i] == ids[i - 1]:
                return LOOK
    return OK


@njit(cache=True, nogil=True)
def parse_rows(
    buffer: Any,
    starts: Any,
    first: Any,
    last: Any,
    with_labels: Any,
    n_labels: Any,
    n_features: Any,
    bases: Any,
    label_at: Any,
    label_ids: Any,
    at: Any,
    ids: Any,
    values: Any,
    status: Any,
) -> None:
    """Lines [first, last) into the slices of their rows; `status` says which ones Python must look at.

    `bases` is (label base, feature base), 0 or 1; `label_at` and `at` are the row pointers.
    """
    for row in range(first, last):
        start, end = starts[row], line_end(buffer, starts, row)
        said = OK
        if with_labels:
            stop = labels_end(buffer, start, end)
            said = parse_labels(buffer, start, stop, n_labels, bases[0], label_ids[label_at[row] : label_at[row + 1]])
            start = stop
        mine = slice(at[row], at[row + 1])
        if parse_features(buffer, start, end, n_features, bases[1], ids[mine], values[mine]) == LOOK:
            said = LOOK
        status[row] = said
