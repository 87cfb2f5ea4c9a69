"""The start view's sentences, by hand: three boards, whose ranks, values and costs are written out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.board import sample
from xmcbench.board import cells, overview
from xmcbench.board.model import Board, Costs, Difference, Place, Row, Table, Value

BASE = sample.board().tables[0]


def row(
    label: str,
    place: tuple[int, int] | None,
    value: float,
    fit: float | None = None,
    machine: str = "A CPU",
    psp: float = 0.5,
) -> Row:
    """A row with a place by nDCG@5 and PSP@5."""
    costs = [] if fit is None else [Costs(machine, 2, False, 1, fit, fit / 10, None, None, None, None)]
    ranks = {metric: None if place is None else Place(*place) for metric in ("nDCG@5", "PSP@5")}
    values = {"nDCG@5": Value(value), "PSP@5": Value(psp)}
    name = label.split("[")[0].split(" ")[0]
    return replace(
        BASE.rows[0], label=label, name=name, values=values, ranks=ranks, costs=costs, floor=name == "popularity"
    )


def table(dataset: str, rows: list[Row], labels: int = 5000, apart: float = 0.005) -> Table:
    """Rows whose values differ by more than `apart` are separated; intervals reach 0.01 to both sides."""
    found: dict[str, dict[tuple[int, int], Difference]] = {"nDCG@5": {}, "PSP@5": {}}
    for metric, pairs in found.items():
        for i, first in enumerate(rows):
            for j in range(i + 1, len(rows)):
                if first.ranks[metric] and rows[j].ranks[metric]:
                    value = (first.values[metric].value or 0) - (rows[j].values[metric].value or 0)
                    p = 0.001 if abs(value) > apart else 0.4
                    pairs[i, j] = Difference(value, value - 0.01, value + 0.01, p)
    facts = replace(BASE.facts, n_labels=labels)
    names = ["nDCG@5", "PSP@5"]
    return replace(
        BASE,
        dataset=dataset,
        title=dataset,
        facts=facts,
        metrics=names,
        tested=names,
        rows=rows,
        differences=found,
        slices={},
    )


ONE = table("one", [row("elias", (1, 1), 0.80, 40.0), row("ovr", (2, 3), 0.795, 20.0), row("tree", (2, 3), 0.792, 2.0)])
TWO = table(
    "two",
    [row("ovr", (1, 2), 0.61, 9.0), row("elias", (1, 2), 0.609, 36.0), row("tree", (3, 3), 0.601, 1.0)],
    labels=90_000,
)
SMALL = table(
    "small",
    [row("elias[members=3]", (1, 1), 0.5), row("elias", (2, 2), 0.45, 10.0, "B"), row("tree", (3, 3), 0.40, 1.0)],
    labels=159,
)


def board(*tables: Table) -> Board:
    return Board([*tables], 9, "ab")


def test_mean_ranks_are_means_of_places() -> None:
    found = {each.label: each for each in overview.standings([ONE, TWO], "nDCG@5")}
    assert found["elias"] == ("elias", 1.0, 1.5, 2, 1, 2)  # (1, 1) and (1, 2): alone on one, first on both
    assert found["ovr"] == ("ovr", 1.5, 2.5, 2, 0, 1)
    assert found["tree"] == ("tree", 2.5, 3.0, 2, 0, 0)
    assert [*found] == ["elias", "ovr", "tree"]


def test_boards_are_by_label_space_and_small_ones_are_known() -> None:
    assert [t.dataset for t in overview.in_order(board(SMALL, ONE, TWO))] == ["two", "one", "small"]
    assert [overview.is_small(t) for t in (TWO, SMALL)] == [False, True]
    bare = replace(TWO, dataset="published", rows=[])
    assert overview.in_order(board(bare, SMALL))[-1] is bare


def test_usual_rows_have_defaults_or_a_preset() -> None:
    labels = ("elias", "omikuji[preset=bonsai]", "elias[members=3]", "omikuji[preset=bonsai,depth=2]", "elias (k=5)")
    assert [overview.is_usual(row(label, (1, 1), 0.5)) for label in labels] == [True, True, False, False, False]


def test_the_best_is_said_to_be_tied_where_mean_ranks_overlap() -> None:
    best = dict(overview.sentences(board(ONE, TWO)))["Best overall"]
    assert best == (
        "elias, with a mean rank of 1.0–1.5 by nDCG@5: the best of 3 methods that are ranked on all of the 2 data sets."
        " No test separates it from the first on 2, and on 1 it is alone in first place. "
        "Tied, since their mean ranks overlap: ovr (1.5–2.5)."
    )
    alone = dict(overview.sentences(board(ONE)))["Best overall"]
    assert alone.endswith("The next is ovr (2.0–3.0).")
    assert "Tied" not in alone


def test_the_cheapest_within_a_point_is_relative_to_what_is_close_most_often() -> None:
    # all three are within a point on both (tree by 0.792 and 0.601), and elias has the best mean rank; tree takes 2/40
    # and 1/36 of its time, in the geometric mean 0.0373
    cheapest = dict(overview.sentences(board(ONE, TWO)))["Cheapest within one point of the best"]
    assert cheapest == (
        "tree, within one point of the best nDCG@5 on 2 of the 2 data sets. Its fit takes 0.037 × the time of elias, "
        "which is so close on 2 (geometric mean over 2 boards, each on one machine class)."
    )


def test_nothing_is_said_of_costs_on_different_machines() -> None:
    assert overview.ratio_of(SMALL.rows[1], SMALL.rows[2], "fit_seconds") is None
    assert overview.summaries(board(SMALL))[0].costs == "not measured on the same machines"
    answers = dict(overview.sentences(board(SMALL)))
    assert answers["Best overall"].startswith("elias, with a mean rank of 2.0 by nDCG@5: the best of 2 methods")
    assert answers["Cheapest within one point of the best"].startswith("No method with default parameters is within")


def test_a_board_in_words() -> None:
    two, one = overview.summaries(board(ONE, TWO))
    assert two[1:] == (
        "ovr 61.00, tied with elias",
        "+0.90 over tree (−0.10 to 1.90)",
        "9.0 × its fit time, 9.0 × its time per row",
        "ovr 50.00, tied with elias and tree",
    )
    assert one.compared == "+0.80 over tree (−0.20 to 1.80)"
    tied = overview.summaries(board(table("tied", [row("a", (1, 2), 0.5), row("b", (1, 2), 0.5)])))[0]
    assert tied.best == "a 50.00, tied with b"
    assert tied.compared == "+0.00 over b (−1.00 to 1.00), which no test separates"


def test_synthetic_data_count_only_alone() -> None:
    made = replace(ONE, dataset="synthetic[labels=9]")
    assert overview.counting(board(made, TWO), "nDCG@5") == [TWO]
    assert overview.counting(board(made), "nDCG@5") == [made]


def test_one_row_no_rows_and_methods_that_are_never_together() -> None:
    assert overview.sentences(board()) == []
    alone = board(table("a", [row("x", (1, 1), 0.5, 1.0)]))
    assert dict(overview.sentences(alone))["Best overall"].startswith("x, the only method with a rank by nDCG@5")
    assert overview.summaries(alone)[0].compared == "no other method has a rank"
    apart = board(table("a", [row("x", (1, 1), 0.5)]), table("b", [row("y", (1, 1), 0.5)]))
    assert dict(overview.sentences(apart))["Best overall"] == (
        "No method with default parameters has a rank by nDCG@5 on all of the 2 data sets."
    )


def test_many_ties_are_counted() -> None:
    rows = [row(f"m{i}", (1, 9), 0.5 - i / 1e5) for i in range(9)]
    best = dict(overview.sentences(board(table("a", rows))))["Best overall"]
    assert best.endswith("Tied, since their mean ranks overlap: m1 (1.0–9.0), m2 (1.0–9.0), m3 (1.0–9.0) and 5 others.")


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(41.3, "41 ×"), (1.34, "1.3 ×"), (0.0834, "0.083 ×"), (1234.0, "1,234 ×"), (1e-7, "less than 0.00001 ×")],
)
def test_ratios_have_two_digits(ratio: float, text: str) -> None:
    assert overview.times(ratio) == text


def test_a_difference_is_the_same_from_both_sides() -> None:
    there, back = ONE.difference("nDCG@5", 0, 2), ONE.difference("nDCG@5", 2, 0)
    assert there is not None
    assert back is not None
    assert back.turned == there
    assert (back.value, back.low, back.high) == pytest.approx((-0.008, -0.018, 0.002))
    assert ONE.difference("P@1", 0, 1) is None
    assert cells.leader(TWO, "nDCG@5") == "ovr, tied with elias"


def test_times_of_busy_machines_are_marked() -> None:
    """In the summary of the table, and in the sentence over all tables."""
    ratios = "20 × its fit time, 20 × its time per row"  # of elias and tree in ONE

    def busy(table: Table, label: str) -> Table:
        rows = [
            replace(row, costs=[replace(cost, busy=row.label == label) for cost in row.costs]) for row in table.rows
        ]
        return replace(table, rows=rows)

    (calm,) = overview.summaries(board(ONE))
    (marked,) = overview.summaries(board(busy(ONE, "tree")))
    assert (calm.costs, marked.costs) == (ratios, f"{ratios}, busy machine")
    said = dict(overview.sentences(board(busy(ONE, "tree"), TWO)))["Cheapest within one point of the best"]
    assert "each on one machine class; on 1 of them other programs used the machine)" in said
