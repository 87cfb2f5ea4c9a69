"""Texts of RESULTS.md, and the values of the paper (tables 7 and 9 of Gupta et al., NeurIPS 2022).

The paper's values are on Amazon-670K, which is not among the studied data sets, so they have separate columns.
"""

from __future__ import annotations

OTHER = "Amazon-670K, other data"
SWEPT = ("P@1", "P@5", "R@10", "R@100")  # columns of table 7

# `shortlist_weight` → λ, then percent of `SWEPT`. The weight is λ · K / P at the authors' K = 2,000 and P = 10.
BY_WEIGHT: dict[float, tuple[float, ...]] = {
    0.0: (0, 47.80, 39.45, 49.17, 66.05),
    2.0: (0.01, 48.30, 39.86, 49.73, 67.78),
    4.0: (0.02, 48.48, 39.94, 49.96, 68.27),
    10.0: (0.05, 48.68, 40.05, 50.33, 68.95),
    20.0: (0.1, 48.72, 40.05, 50.19, 68.91),
    40.0: (0.2, 48.62, 39.96, 50.06, 68.82),
    100.0: (0.5, 48.48, 39.76, 49.80, 68.55),
}
# `row_leaves` → κ, then percent of `SWEPT`. The authors' leaves have 100 labels.
BY_LEAVES: dict[float, tuple[float, ...]] = {
    1: (100, 46.79, 36.60, 42.90, 56.38),
    2: (200, 47.88, 38.67, 46.96, 63.30),
    5: (500, 48.68, 40.04, 49.99, 68.48),
    10: (1000, 48.68, 40.05, 50.33, 68.95),
    20: (2000, 48.58, 40.07, 50.27, 68.91),
    50: (5000, 48.57, 39.93, 50.15, 68.91),
    100: (10000, 48.32, 39.73, 49.97, 68.84),
}
# threshold → percent of edges cut, P@1, R@100
BY_THRESHOLD: dict[float, tuple[float, float, float]] = {
    0.1: (73.6, 48.68, 68.95),
    0.25: (84.5, 48.65, 68.82),
    0.5: (89.1, 48.40, 66.75),
    0.9: (93.1, 47.26, 59.53),
}
READING = """\
- **Values** are percent: the mean over seeds, ± their standard deviation where there are several, and [low, high],
  a 95 % interval of that mean over test rows: percentiles of 1,000 bootstrap resamples of the rows, near-duplicates
  drawn together. It covers the variation over test rows, ± the variation over seeds.
- **Differences** are points, B − A over the seeds of both, and (low to high), an interval from resamples that draw
  the same rows for both.
- **Label scores** are the mean number of labels per test row whose network score is computed to find the 100 best.
  For the ranker and the final score this is the whole shortlist, and the ranker scores each of its labels again.
- **fit s** and **ms a row** are medians over runs on the given machine; outputs of one fit share its seconds.
  \\*: other processes, or compiling kernels, took over a tenth of the time.
- **not run**: there is no record; the command that creates it is below the table. **not kept**: there is a record,
  but the folder lacks the per-row numbers, predictions or report from which the number is computed. Slim copies have
  no predictions, no reports, and per-row numbers of few metrics."""
SWEEPS = f"""\
`shortlist_weight` is λ K, the weight of the shortlist loss relative to a true label's own term. The authors divide λ
by their padded number P of true labels, so their λ corresponds to the weight λ K / P at K = 2,000 and P = 10.
`row_leaves` is κ divided by the size of a leaf, which is 100 labels in the paper. Here β is proportional to κ; in the
paper it is always 150. The columns on the right are the paper's, on *{OTHER}*: their trend can be compared with ours,
their level cannot."""
EDGES = f"""\
Edges of the learned adjacency A with a weight below a threshold are removed, all others keep their weight, and the
network alone searches the rest. The columns on the right are the paper's, on *{OTHER}*. A label is a member of
a cluster where its weight there is above 0.25. In the paper about 60 % of stage 1's edges survive, the most
frequent labels end in about six clusters, and rare ones in about one."""
FIGURE = """\
As figure 5 of the paper. Labels are sorted by training rows and cut into ten parts, each with one tenth of the
label occurrences in test rows; labels of one frequency at the border of two parts belong to both, in proportion. A
value is the share of a part's occurrences that are among the k best labels of their row: percent, mean over seeds,
from the predictions that the runs keep. The range is of training rows that a label of the part has."""
