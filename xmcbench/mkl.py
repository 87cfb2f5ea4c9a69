"""Products of matrices on Intel CPUs, which torch leaves to MKL, with bits that don't depend on the threads."""

from __future__ import annotations

import os
from itertools import takewhile
from pathlib import Path

VARIABLE = "MKL_CBWR"
CPU = Path("/proc/cpuinfo")  # of Linux; elsewhere nothing is set


def ask_for_equal_bits() -> None:
    """Set MKL's strict mode in the environment, unless the user has set a mode; MKL reads it at its first product.

    By default, MKL divides long sums among threads there: a product over 1,000 rows has other last bits with two
    threads than with one. Source: Intel oneMKL developer guide, "Conditional Numerical Reproducibility": strict modes
    exist for AVX2 and AVX-512. With AVX-512, on a busy Xeon, products took 0.9 to 1.2 times as long, and those of a
    single row twice (9 → 18 µs for 64 × 4,096 with two threads). On other CPUs nothing is set: on an AMD EPYC,
    `tests/attack/threads.py` found no difference, on fewer rows and labels than it has now.
    """
    try:
        with CPU.open(encoding="utf-8", errors="replace") as file:
            first = list(takewhile(str.strip, file))  # the first core; there may be hundreds
    except OSError:
        return
    facts = {name.strip(): value.split() for name, _, value in (line.partition(":") for line in first)}
    flags = facts.get("flags", [])
    if facts.get("vendor_id") == ["GenuineIntel"] and "avx2" in flags:
        os.environ.setdefault(VARIABLE, "AVX512,STRICT" if "avx512f" in flags else "AVX2,STRICT")
