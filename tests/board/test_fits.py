"""Rows of one fit, by records made by hand."""

from __future__ import annotations

import dataclasses

import pytest

from tests.board import sample
from tests.board.conftest import NewRun
from xmcbench.board import fits
from xmcbench.board.colours import FAMILIES, colours
from xmcbench.board.model import Row


def run(new_run: NewRun, label: str, seed: int = 0, **parameters: object) -> str:
    return fits.key_of(new_run(label, seed=seed, method={"name": "tree", "parameters": {"arity": 100, **parameters}}))


def test_records_of_one_fit_have_one_key(new_run: NewRun) -> None:
    """The beam of the method tree is a query parameter, its arity is none."""
    first = run(new_run, "tree", beam=10)
    assert run(new_run, "tree[beam=20]", beam=20) == first
    assert run(new_run, "tree", seed=1, beam=10) == first
    assert run(new_run, "tree[arity=2]", beam=10, arity=2) != first
    other = {"name": "tree", "parameters": {"arity": 100, "beam": 10}, "version": "2"}
    assert fits.key_of(new_run("tree", method=other)) != first
    nobody = {"name": "nobody", "parameters": {"beam": 10}}
    assert fits.key_of(new_run("nobody", method=nobody)) != fits.key_of(
        new_run("nobody[beam=5]", method={**nobody, "parameters": {"beam": 5}})
    ), "the query parameters of a method that is not installed are unknown"


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("tree", "tree"),
        ("tree[beam=5]", "tree"),
        ("tree[arity=2,beam=5]", "tree[arity=2]"),
        ("tree[layers=[1,beam=2],beam=5]", "tree[layers=[1,beam=2]]"),
        ("tree[beam=5,layers=[1,[2,3]]]", "tree[layers=[1,[2,3]]]"),
        ("tree[sizes=(1,beam=2),beam=5,arity=2]", "tree[sizes=(1,beam=2),arity=2]"),
        ("tree[note='a,beam=1]',beam=5]", "tree[note='a,beam=1]']"),
        ('tree[note="it\'s, beam=1",beam=5]', 'tree[note="it\'s, beam=1"]'),
        ("tree[note=it's,beam=5]", "tree[note=it's]"),
        ("tree[note=),beam=5]", "tree[note=)]"),
    ],
)
def test_the_label_of_a_fit_has_no_query_parameters(label: str, expected: str) -> None:
    assert fits.label_of(row(label)) == expected


def row(label: str, fit: str = "a", **parameters: object) -> Row:
    return dataclasses.replace(
        sample.board().tables[2].rows[0], label=label, name="tree", fit=fit, parameters=parameters
    )


def test_rows_by_fit_and_their_settings() -> None:
    a, b, c = row("a", beam=5, arity=2), row("b", "b", beam=5, arity=2), row("c", beam=10, arity=2)
    assert fits.by_fit([a, b, c]) == [[a, c], [b]]
    assert fits.varying([a, c]) == ["beam"]
    assert fits.varying([a, a]) == []
    assert [fits.setting(each, ["beam"]) for each in (a, c)] == ["5", "10"]


def test_every_family_has_a_colour_of_its_own() -> None:
    found = colours(["tree", "b", "a"])
    assert found["tree"] == FAMILIES["tree"]
    assert colours(["a", "b"]) | found == found, "whatever the order, and whatever else is there"
    assert len({*found.values()}) == len(found)
