from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmcbench.errors import UsageError
from xmcbench.metrics import DEFAULT, Name, describe, parse, parse_all
from xmcbench.metrics.names import ALL, METRICS, split


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("p@1", "P@1"),
        ("NDCG@5", "nDCG@5"),
        ("psp( Norm = None )@5", "PSP(norm=none)@5"),
        ("PSnDCG(LIKE=xcrepo)@3:Tail", "PSnDCG(like=xcrepo)@3:tail"),
        ("R-Precision", "RPrec"),
        ("rr", "RR"),
        ("RR@10", "RR@10"),
        ("macrof1@5:head", "MacroF1@5:head"),
        ("P(empty=skip,like=pyxclib)@1", "P(empty=skip,like=pyxclib)@1"),
        ("P(like=pyxclib,empty=skip)@1", "P(empty=skip,like=pyxclib)@1"),
        ("P()@1", "P@1"),
    ],
)
def test_canonical_text(text: str, canonical: str) -> None:
    assert str(parse(text)) == canonical


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("PSNDCGG@5", "'PSnDCG'"),
        ("ndgc@5", "'nDCG'"),
        ("P", "needs a cut-off"),
        ("P@0", "at least 1"),
        ("RPrec@5", "takes no cut-off"),
        ("P@five", "not of the form"),
        ("P@1:", "not of the form"),
        ("", "not of the form"),
        ("PSP(norm=nome)@5", "'norm=none'"),
        ("PSnDCG(norm=none,like=xcrepo)@5", "exclude each other"),
        ("PSP(empty=skip)@5", "no meaning"),
        ("Coverage(empty=skip)@5", "no meaning"),
    ],
)
def test_bad_names_say_what_is_valid(text: str, part: str) -> None:
    with pytest.raises(UsageError, match=r"metric|parameter") as caught:
        parse(text)
    assert part in str(caught.value)


def test_bad_names_are_reported_together() -> None:
    with pytest.raises(UsageError) as caught:
        parse_all(["P@1", "Q@1", "nDCG", "PSP(x=y)@1"])
    assert all(part in str(caught.value) for part in ("'Q'", "'nDCG' needs", "'x=y'"))


def test_order_is_kept_and_repeats_are_not() -> None:
    assert [str(n) for n in parse_all(["R@10", "p@1", "P@1", Name("P", k=3)])] == ["R@10", "P@1", "P@3"]


def test_commas_inside_parentheses_do_not_part_names() -> None:
    assert split("P@1, P(empty=skip,like=xcrepo)@3,RR") == ["P@1", "P(empty=skip,like=xcrepo)@3", "RR"]


@given(
    st.sampled_from([d for d in ALL for _ in (d.variant, *d.same)]),
    st.integers(1, 999),
    st.none() | st.from_regex(r"[a-z][a-z0-9-]{0,9}", fullmatch=True),
    st.booleans(),
)
def test_canonical_text_parses_to_itself(definition: object, k: int, part: str | None, upper: bool) -> None:
    metric, variant, cut = definition.metric, definition.variant, definition.cut  # type: ignore[attr-defined]
    name = Name(metric, (variant,) if variant else (), None if cut == "none" else k, part)
    text = str(name)
    assert parse(text.upper() if upper else text) == name


def test_default_set_is_the_designs() -> None:
    wanted = "P@1 P@3 P@5 nDCG@1 nDCG@3 nDCG@5 PSP@1 PSP@3 PSP@5 PSnDCG@1 PSnDCG@3 PSnDCG@5 R@10 R@100 RPrec"
    assert " ".join(DEFAULT) == wanted + " Coverage@5 MacroF1@5"
    assert [str(n) for n in parse_all(DEFAULT)] == list(DEFAULT)


def test_every_definition_is_complete() -> None:
    for d in describe():
        assert d.summary
        assert d.formula
        assert d.citation
        assert d.empty
        assert d.version >= 1
        assert (d.row is not None and d.best is not None) != (d.label is not None)
    assert " ".join(METRICS) == "P nDCG R RR Success RPrec PSP PSnDCG PSR Coverage MacroP MacroR MacroF1"
