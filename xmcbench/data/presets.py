"""Shapes of real data sets that synthetic data can have: their counts, and how their labels are distributed.

A preset is the name of a data set of the catalogue, whose counts it takes from there, or that name with "-tenth": a
tenth of its training rows, test rows, labels, features and `shift`. All means per row and per label, and the whole
distribution of label frequencies, stay those of the full size.

The fit. The share of label draws of the label of rank r is proportional to (r + shift)^−exponent. What is known of the
real data, of training rows, and what the tenths have:

====================  ==============================  =================================================================
preset                real data                       its tenth
====================  ==============================  =================================================================
amazon-670k           3.99 rows per label; about 5    3.99; 83 % of labels have ≤ 5, 10 % none, median 3, most 930;
                      of 6 labels have ≤ 5; PSP@1 /   PSP@1 / P@1 of hits drawn evenly among a row's labels: 0.73
                      P@1 of methods: 0.60 to 0.68
lf-amazontitles-1.3m  38.24; PSP@1 / P@1 0.36 to      38.5; 2 % have ≤ 5, median 17, most 3,100; 0.48
                      0.55
amazon-3m             22.02; PSP@1 / P@1 0.27 to      22.4; 31 % have ≤ 5, 0.4 % none, median 8, most 8,500; 0.39
                      0.31
====================  ==============================  =================================================================

Means are of the XC repository's table. PSP@1 / P@1 is the range of published values there without methods made for rare
labels (`leaderboards/published`); it falls as frequencies get more skewed, and hits of methods, which prefer frequent
labels, have less than evenly drawn ones. The share of rare labels of Amazon-670K is as Babbar and Schölkopf report
(WSDM 2017; Machine Learning 2019: up to 80 % of labels are rare). Nothing is known here of the most frequent labels,
nor of the share of rare labels of the other two: what the presets have is ours.

Amazon-670K and Amazon-3M have no texts of labels, and their official files have features alone: so do their presets.
Features per row are about 76 of amazon-670k (known; the preset has 79), 11 of lf-amazontitles-1.3m (ours, of a title)
and about 50 of amazon-3m (ours). `per_row` counts label slots, which is above the labels per row (5.45, 22.20, 36.04)
since a row may draw a label twice.
"""

from __future__ import annotations

from collections.abc import Mapping

from xmcbench.data.catalogue import entry
from xmcbench.errors import unknown

Values = Mapping[str, int | float]  # bool, for `texts`, is an int
TENTH = "-tenth"
SHAPES: dict[str, dict[str, int | float]] = {
    "amazon-670k": {
        "per_row": 5.83,
        "per_topic": 2.0,
        "words": 8,
        "background": 40.0,
        "noise": 0.5,
        "exponent": 0.65,
        "shift": 4.0,
        "texts": False,
    },
    "lf-amazontitles-1.3m": {
        "per_row": 30.9,
        "per_topic": 12.0,
        "words": 2,
        "background": 0.5,
        "branching": 100,
        "noise": 0.9,
        "exponent": 0.9,
        "shift": 200.0,
    },
    "amazon-3m": {
        "per_row": 58.0,
        "per_topic": 6.0,
        "words": 3,
        "background": 10.0,
        "branching": 50,
        "noise": 0.9,
        "exponent": 1.0,
        "shift": 200.0,
        "texts": False,
    },
}
NAMES = tuple(f"{name}{end}" for name in SHAPES for end in ("", TENTH))


def preset(name: str) -> Values:
    """The values of the parameters that a preset sets; UsageError for an unknown one."""
    if name not in NAMES:
        raise unknown("preset of synthetic", name, NAMES)
    shape = SHAPES[name.removesuffix(TENTH)]
    counts = entry(name.removesuffix(TENTH)).expected
    part = 10 if name.endswith(TENTH) else 1
    sizes = {"rows": "n_train", "test": "n_test", "labels": "n_labels", "features": "n_features"}
    return {
        **shape,
        **{key: round(counts[count] / part) for key, count in sizes.items()},
        "shift": shape["shift"] / part,
    }
