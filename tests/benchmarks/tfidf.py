"""Tf-idf of short texts, compared with scikit-learn on the same texts in the same run.

    python tests/benchmarks/tfidf.py [--json] [--texts 655000] [--tokens words] [--threads 2]

The texts resemble titles of products: 4 to 14 words each, drawn from 1,000,000 made-up words whose frequencies follow
Zipf's law with exponent 1.05, some with a capital, a comma or brackets, and one in 50 with accents. Seconds by the wall
clock of one run each, first of our own, then of scikit-learn; our kernels are compiled before.

fit          of the vocabulary and the matrix of all texts
transform    of the same texts
one_text     median milliseconds to transform one text
compile      seconds of a first small fit in a new process with an empty cache of kernels, less those with a full one
peak         most bytes of the process during fit, above those with the texts in memory; the result is part of them

`speedup` is scikit-learn's seconds of fit_transform / ours. `largest_difference` is that between values of the two
matrices; `equal_bits` says whether matrices and columns are equal in every bit.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numba
import numpy as np
import psutil

from xmcbench.data.text import tfidf
from xmcbench.data.vectorizer import Options
from xmcbench.runs.measure import PeakMemory

WORDS, EXPONENT = 1_000_000, 1.05
TARGET = 3  # times scikit-learn's throughput
SMALL = "from xmcbench.data.text import bow_words_chars as b; b(['red fish', 'red'], ['red'])"


def titles(count: int) -> list[str]:
    """Made-up titles, the same at each call."""
    rng = np.random.default_rng(0)
    letters = np.array(list("etaoinshrdlucmfwypvbgkjqxz"))
    shares = np.linspace(2, 0.2, len(letters))
    word_letters = rng.choice(letters, (WORDS, 12), p=shares / shares.sum())
    lengths = np.minimum(12, 2 + np.sort(rng.poisson(5.5, WORDS) + rng.integers(0, 3, WORDS)))
    words = ["".join(row[:n]) for row, n in zip(word_letters.tolist(), lengths.tolist(), strict=True)]
    for i in range(7, WORDS, 50):
        words[i] = "é" + words[i] + "ü"
    frequency = np.arange(1, WORDS + 1) ** -EXPONENT
    sizes = rng.integers(4, 15, count)
    drawn = np.searchsorted(np.cumsum(frequency / frequency.sum()), rng.random(int(sizes.sum())))
    forms = rng.integers(0, 10, len(drawn)).tolist()
    ways: list[Callable[[str], str]] = [str.capitalize] * 4 + ["{},".format, "({})".format, "{}-2".format] + [str] * 3
    tokens = [ways[form](words[i]) for i, form in zip(np.minimum(drawn, WORDS - 1).tolist(), forms, strict=True)]
    ends = np.cumsum(np.concatenate([[0], sizes])).tolist()
    return [" ".join(tokens[a:b]) for a, b in pairwise(ends)]


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def compile_seconds() -> float:
    """Seconds of a first small fit with an empty cache of kernels, less those of a second one."""
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
        first, second = (
            timed(lambda: subprocess.run([sys.executable, "-c", SMALL], env=environment, check=True))[0]
            for _ in range(2)
        )
    return first - second


def measure(count: int, options: Options) -> dict[str, Any]:
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from tests.data.plain_tfidf import plain_vectorizer, stacked

    texts = titles(count)
    tfidf([options], texts[:1000], texts[:10])
    before = psutil.Process().memory_info().rss
    with PeakMemory() as peak:
        fit, ((ours,), vectorizer) = timed(lambda: tfidf([options], texts))
    transform, again = timed(lambda: vectorizer.transform(texts))
    one_text = statistics.median(timed(lambda i=i: vectorizer.transform([texts[i]]))[0] for i in range(1000))
    plain = plain_vectorizer(options)
    plain_before = psutil.Process().memory_info().rss
    with PeakMemory() as plain_peak:
        plain_fit, matrix = timed(lambda: plain.fit_transform(texts))
    plain_transform, plain_again = timed(lambda: plain.transform(texts))
    theirs = stacked([matrix])
    pairs = [(ours, theirs), (again, stacked([plain_again]))]
    equal_bits = plain.get_feature_names_out().tolist() == vectorizer.parts[0].terms() and all(
        np.array_equal(getattr(a, part), getattr(b, part)) for a, b in pairs for part in ("indptr", "indices", "data")
    )
    return {
        "texts": count,
        "tokens": options.tokens,
        "threads": numba.get_num_threads(),
        "features": vectorizer.n_features,
        "entries": int(ours.nnz),
        "fit": fit,
        "plain_fit": plain_fit,
        "speedup": plain_fit / fit,
        "transform": transform,
        "plain_transform": plain_transform,
        "one_text_ms": 1000 * one_text,
        "compile": compile_seconds(),
        "peak": (peak.rss_bytes or 0) - before,
        "plain_peak": (plain_peak.rss_bytes or 0) - plain_before,
        "result": ours.data.nbytes + ours.indices.nbytes + ours.indptr.nbytes,
        "largest_difference": float(abs(ours - theirs).max()),
        "equal_bits": equal_bits,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    parser.add_argument("--texts", type=int, default=655_000)
    parser.add_argument("--tokens", default="words", help="as in xmcbench.data.tfidf.Options")
    parser.add_argument("--min-df", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    numba.set_num_threads(arguments.threads)
    found = measure(arguments.texts, Options(arguments.tokens, arguments.min_df))
    if arguments.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:20} {value:.6g}" if isinstance(value, float) else f"{name:20} {value}")
    print(f"{'met' if found['speedup'] >= TARGET else 'missed'}: {TARGET} × scikit-learn's throughput")


if __name__ == "__main__":
    main()
