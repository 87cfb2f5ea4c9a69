"""Label cells: lists in any notation, missing values, one separator, and names that nobody typed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmcbench.data.label_cells import CellRules, LabelCells, checked_text, decide_separator, parse_cell, split_cells
from xmcbench.errors import DataError, UsageError

RULES = CellRules()
PATH = Path("y.csv")


def names_of(*values: object, separator: str = "", rules: CellRules = RULES) -> list[list[str]]:
    cells = [parse_cell(value, "y.csv, line 2", rules) for value in values]
    file = LabelCells(PATH, list(range(2, len(cells) + 2)), cells)
    return split_cells(file, decide_separator([file], separator), rules)


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        (["a\nb", "c\td"], ["a\nb", "c\td"]),
        ("['a', 'b']", ["a", "b"]),
        ('["a", "b c"]', ["a", "b c"]),
        ("('a',)", ["a"]),
        ("{'a'}", ["a"]),
        ("['a' 'b'\n 'c']", ["a", "b", "c"]),
        ('c("a", "b")', ["a", "b"]),
        ("[]", []),
        ("()", []),
        ("{}", []),
        ("set()", []),
        ("character(0)", []),
        ("frozenset({'a'})", ["a"]),
        ("array(['a', 'b'], dtype=object)", ["a", "b"]),
        ("[np.str_('a'), np.str_('b c')]", ["a", "b c"]),
        ("array([], dtype=object)", []),
        ("Index(['a'], dtype='object')", ["a"]),
        ("[1, 22]", ["1", "22"]),
        ("[1 22]", ["1", "22"]),
        (r"['it\'s', 'caf\xe9']", ["it's", "café"]),
        ('["it\'s"]', ["it's"]),
        ('["a\\u00e9"]', ["aé"]),
        ("['a, b', 'c;d']", ["a, b", "c;d"]),
        ("['a', ]", ["a"]),
        ("(unknown)", ["(unknown)"]),
        ("(1)", ["(1)"]),
        ("(1,)", ["1"]),
        ("(a) or (b)", ["(a) or (b)"]),
        ("film (2010)", None),
        ("", []),
        ("  ", []),
        (None, []),
        (float("nan"), []),
        (["a", 3], ["a", "3"]),
        (7, ["7"]),
    ],
)
def test_a_cell_is_what_it_says(cell: object, names: list[str] | None) -> None:
    assert names_of(cell, separator="none") == [["film (2010)"] if names is None else names]


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("['a', nan]", "a missing value, nan, in the list"),
        ("[None]", "a missing value, None"),
        ("['a', ['b']]", "looks like a list"),
        ("[a, b]", "looks like a list"),
        ("{a,b}", "looks like a list"),
        ("{'a': 1}", "looks like a list"),
        ("['a''b']", "looks like a list"),
        ("['a' ... 'z']", "looks like a list"),
        ("[1.0, 2.0]", "looks like a list"),
        ("('a')", "looks like a list"),
        ("[a] and [b]", "looks like a list"),
        ("['a', 'b'", "has a bracket as lists have"),
        ("'a', 'b'", "are in quotes"),
        ('"a"', "are in quotes"),
        ("a;'b'", "is in quotes"),
        ('"a;b', "is in quotes"),
        ("a;[b]", "has a bracket"),
        ("nan", "is what programs write for a missing value"),
        ("NA;b", "is what programs write for a missing value"),
        ("['nan', 'b']", "is what programs write for a missing value"),
        ("<NA>", "missing value"),
        ("3.0", "became a fraction"),
        ("TRUE", "truth value"),
        ("1.00e+05", "in scientific form"),
        ("<php><c++>", "has several names in angle brackets"),
        ("__label__a", "as the labels of fastText"),
        ("1.00E+05", "in scientific form"),
        ("#REF!", "missing value"),
        (r"\N", "missing value"),
        ([["b"]], "not a list"),
        ([{"name": "b"}], "an object"),
        ([None], "null"),
        (["a", float("nan")], "nan"),
        ([2.5], "2.5"),
        (True, "true or false"),
        ([True], "true or false"),
        (3.0, "3.0"),
        ({"x": 1}, "an object"),
        (["\ud800"], "half of a surrogate pair"),
        (["a\0"], "a NUL character in"),
    ],
)
def test_a_cell_that_is_no_label_is_refused_with_its_line(cell: object, says: str) -> None:
    with pytest.raises(DataError, match=says) as caught:
        names_of(cell)
    assert "y.csv, line 2" in caught.value.message


def test_a_line_end_that_remains_in_a_cell_is_refused() -> None:
    with pytest.raises(DataError, match="has a tab or a line end in it"):
        split_cells(LabelCells(Path("y.csv"), [2], ["a;b\nc"]), ";", CellRules())


def test_names_that_look_missing_can_be_meant() -> None:
    literal = CellRules(literal=True)
    assert names_of("NA", "3.0", "['a']", "TRUE", '"x"', rules=literal) == [
        ["NA"],
        ["3.0"],
        ["['a']"],
        ["TRUE"],
        ['"x"'],
    ]
    assert names_of("NA", "a", rules=CellRules(missing="NA")) == [[], ["a"]]
    assert checked_text("NA", "t.csv, line 2", CellRules(missing="NA")) == ""
    assert checked_text("NA", "t.csv, line 2", literal) == "NA"
    with pytest.raises(DataError, match=r"t\.csv, line 2: the text is 'NA'.*\n.*--missing 'NA'.*--literal"):
        checked_text("NA", "t.csv, line 2", RULES)


def test_lists_and_texts_are_not_mixed() -> None:
    assert names_of("['a']", "", "[]", "['b c']") == [["a"], [], [], ["b c"]]
    with pytest.raises(DataError, match=r"y\.csv, line 3: 'a;b' is no list, but the labels of line 2 are one"):
        names_of("['a']", "a;b")


@pytest.mark.parametrize(
    ("cells", "rows"),
    [
        (["Smith, J\tDoe", "Roe; X"], [["Smith, J", "Doe"], ["Roe; X"]]),
        (["a b;c", "d"], [["a b", "c"], ["d"]]),
        (["a, b,", "c"], [["a", "b"], ["c"]]),
        (["1 22", "3"], [["1", "22"], ["3"]]),
        (["E11.9 I10"], [["E11.9", "I10"]]),
        (["R&D", "sales"], [["R&D"], ["sales"]]),
        (["体育，政治", "体育"], [["体育", "政治"], ["体育"]]),
        (["New York\nRome", "Rome"], [["New York", "Rome"], ["Rome"]]),
        (["0,1", "1"], [["0", "1"], ["1"]]),
    ],
)
def test_a_separator_is_found_where_only_one_is_possible(cells: list[str], rows: list[list[str]]) -> None:
    assert names_of(*cells) == rows


@pytest.mark.parametrize(
    ("cells", "ways", "options"),
    [
        (["a;b", "c,d"], "semicolons or commas", "semicolon, comma, none"),
        (["a|b;c"], "bars or semicolons", "bar, semicolon, none"),
        (["New York", "Rome"], "whitespace", "space, none"),
        (["1 2", "x y"], "whitespace", "space, none"),
        (["1,2 3", "4"], "commas or whitespace", "comma, space, none"),
        (["R&amp;D", "x"], "semicolons", "semicolon, none"),
        (["a,b，c"], "commas or '，'", "comma, ，, none"),
    ],
)
def test_a_separator_that_cannot_be_known_is_asked_for(cells: list[str], ways: str, options: str) -> None:
    with pytest.raises(UsageError) as caught:
        names_of(*cells)
    assert f"labels may be split at {ways}, or not at all: y.csv, line " in caught.value.message
    assert f"one of {options}; none:" in caught.value.hint
    for option in options.split(", "):
        names_of(*cells, separator=option)


@pytest.mark.parametrize("cells", [["0,1,0", "1,0,0"], ["0 1 1 0"], ["1;1", "0;1"]])
def test_zeros_and_ones_are_no_names(cells: list[str]) -> None:
    with pytest.raises(DataError, match=r"y\.csv, line 2: the labels of each row are \d zeros and ones\n.*--one-hot"):
        names_of(*cells)
    assert names_of(*cells, rules=CellRules(literal=True))


def test_one_separator_for_all_files() -> None:
    files = [LabelCells(Path("a"), [1], ["p q"]), LabelCells(Path("b"), [1], ["x;y"])]
    assert decide_separator(files) == ";"
    with pytest.raises(UsageError, match=r"alike .*: semicolons in a, line 1: 'p;q'; commas in b, line 1: 'p,q'\n"):
        decide_separator([LabelCells(Path("a"), [1], ["p;q"]), LabelCells(Path("b"), [1], ["p,q"])])


def test_a_file_without_the_tabs_of_the_others() -> None:
    files = [LabelCells(Path("a"), [1], ["p\tq, r"]), LabelCells(Path("b"), [1, 2], ["q, r", "p"])]
    assert decide_separator(files) == "\t"
    with pytest.raises(UsageError, match=r"divided at tabs, but no label cell of b is; b, line 1: 'p;q'\n.*alike"):
        decide_separator([files[0], LabelCells(Path("b"), [1], ["p;q"])])


def test_a_given_separator_must_occur() -> None:
    assert names_of("a::b", separator="::") == [["a", "b"]]
    assert names_of("a\tb", separator="\\t") == [["a", "b"]]
    assert names_of("a", separator="comma") == [["a"]]
    with pytest.raises(
        UsageError, match=r"'commas' occurs in no label cell; y\.csv, line 2: 'a,b'\n.*comma, newline, space, none"
    ):
        names_of("a,b", separator="commas")
    for separator in ("\\t", "\\n", ";", "newline"):
        with pytest.raises(UsageError, match=r"occurs in no label cell; .*, line 2: 'a,b'\n.*none: each cell is one"):
            names_of("a,b", separator=separator)
    assert names_of("a\nb", separator="\\n") == [["a", "b"]]


@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
        .map(str.strip)
        .filter(bool),
        min_size=1,
    )
)
def test_printed_lists_are_read_back(names: list[str]) -> None:
    for cell in (repr(names), repr(tuple(names)), json.dumps(names), json.dumps(names, ensure_ascii=False)):
        assert parse_cell(cell, "", RULES) == names


@pytest.mark.parametrize("cell", ['{a,"New York"}', "{a,b}", "{a}"])
def test_arrays_of_postgres_name_a_form_that_is_read(cell: str) -> None:
    with pytest.raises(DataError, match="looks like a list") as caught:
        names_of(cell)
    assert "array_to_json" in caught.value.hint


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (1.0, r"astype\('Int64'\)"),
        ([1.0, 2.0], r"astype\('Int64'\)"),
        ([1, float("nan")], "dropna"),
        (1.5, "between double quotes"),
        (b"x", r"decode\('utf-8'\)"),
        ([True], "--one-hot"),
        ([["a"]], "one list of names"),
        ([{"id": 1}], "one list of names"),
    ],
)
@pytest.mark.parametrize("literal", [False, True])
def test_hints_for_values_that_are_no_names(value: object, hint: str, literal: bool) -> None:
    with pytest.raises(DataError, match="labels must be names or whole numbers") as caught:
        parse_cell(value, "t.jsonl, line 1", CellRules(literal=literal))
    assert re.search(hint, caught.value.hint)
    assert "--literal" not in caught.value.hint
