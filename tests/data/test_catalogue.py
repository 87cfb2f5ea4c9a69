"""The catalogue's facts: complete, well formed, and free of the traps in the literature."""

from __future__ import annotations

import re

import pytest

from xmcbench.data.catalogue import Entry, File, catalogue, entry, parse
from xmcbench.data.places import folder, instructions
from xmcbench.data.recipes import RECIPES
from xmcbench.errors import DataError, UsageError

ENTRIES = list(catalogue().values())
by_name = pytest.mark.parametrize("found", ENTRIES, ids=lambda e: e.name)
REQUIRED = [
    *("eurlex-4k", "eurlex-4k-text", "eurlex-4.3k", "icd10cm"),
    *("icd10cm-code", "wordnet", "wiki10-31k", "amazoncat-13k"),
    *("amazon-670k", "wikipedia-500k", "amazon-3m", "lf-amazontitles-131k"),
    *("lf-amazon-131k", "lf-wikiseealsotitles-320k", "lf-wikiseealso-320k", "lf-wikititles-500k"),
    *("lf-amazontitles-1.3m", "delicious", "bibtex", "synthetic"),
    *("edict", "ding", "foldoc"),
]
COUNTS = {
    *("n_train", "n_validation", "n_test", "n_features", "n_labels"),
    *("train_pairs", "test_pairs", "train_filter_pairs", "test_filter_pairs"),
}


def every_file(found: Entry) -> list[File]:
    return [f for form in found.forms for f in (*([form.archive] if form.archive else []), *form.files)]


def family(name: str) -> tuple[float, float]:
    """Jain et al. 2016: fitted on Wikipedia and on Amazon; everything else takes the mean."""
    if name.startswith("amazoncat") or "wikiseealso" in name:
        return (0.55, 1.5)
    if re.match(r"(lf-)?amazon", name):
        return (0.6, 2.6)
    if re.match(r"(lf-)?(wikipedia|wikititles|wikilshtc)", name):
        return (0.5, 0.4)
    return (0.55, 1.5)


def test_what_must_be_there_is() -> None:
    assert set(REQUIRED) <= set(catalogue())


@by_name
def test_no_required_text_is_empty(found: Entry) -> None:
    for key in ("title", "revision", "summary", "recipe", "licence", "redistribution", "homepage", "lineage"):
        assert getattr(found, key).strip(), key
    assert found.propensity_source
    assert found.expected_source
    assert found.citation or found.name == "synthetic"


@by_name
def test_views_and_recipe_exist(found: Entry) -> None:
    assert found.default_view in found.views
    assert found.recipe in RECIPES or found.recipe == "synthetic"
    for form in found.forms:
        assert set(form.views) <= set(found.views)
        assert len({file.role for file in form.files}) == len(form.files)
    for view in found.views:
        assert found.forms_for(view) or found.name == "synthetic"


@by_name
def test_propensity_is_its_familys(found: Entry) -> None:
    assert found.propensity == family(found.name)


@by_name
def test_hashes_and_locations_are_well_formed(found: Entry) -> None:
    for file in every_file(found):
        assert file.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", file.sha256)
        assert file.git_blob is None or re.fullmatch(r"[0-9a-f]{40}", file.git_blob)
        assert "/" not in file.name
        for location in file.locations:
            assert re.match(r"https?://\S+$|gdrive:[\w-]+(\?resourcekey=[\w-]+)?$|pip:[\w-]+==[\d.]+:|path:/", location)


@by_name
def test_files_of_one_name_are_one_file(found: Entry) -> None:
    """They share a folder, so two forms may only use a name for the same content or for the same unknown."""
    hashes: dict[str, set[str | None]] = {}
    for file in every_file(found):
        hashes.setdefault(file.name, set()).add(file.sha256 or file.git_blob)
    assert all(len(seen) == 1 for seen in hashes.values())


@by_name
def test_expected_counts(found: Entry) -> None:
    assert set(found.expected) <= COUNTS
    assert all(isinstance(value, int) and value > 0 for value in found.expected.values())
    if found.homepage.endswith("XMLRepository.html"):
        assert {"n_train", "n_test", "n_features", "n_labels"} <= set(found.expected)


@by_name
def test_a_person_can_do_it_by_hand(found: Entry) -> None:
    """Each file by name, the folder, each address in a form that a browser opens, and what to do then."""
    for view in found.views if found.forms else ():
        text = instructions(found, view)
        assert str(folder(found)) in text
        assert f"xmcbench data fetch {found.name}" in text
        for form in found.forms_for(view):
            for file in form.files:
                assert file.optional or file.name in text
            for location in form.archive.locations if form.archive else ():
                assert location.removeprefix("gdrive:").partition("?")[0] in text
        assert "gdrive:" not in text


@by_name
def test_a_large_entry_says_that_its_hash_is_recorded(found: Entry) -> None:
    for form in found.forms:
        unknown = not any(f.hash_known for f in every_file(found))
        if unknown:
            assert "recorded at first download" in instructions(found, form.views[0])


@by_name
def test_same_name_is_mutual(found: Entry) -> None:
    for other, why in found.same_name_as.items():
        assert found.name in catalogue()[other].same_name_as
        assert len(why) > 20


def test_names_and_aliases_are_unique() -> None:
    names = [alias.casefold() for e in ENTRIES for alias in {e.name, e.title.casefold(), *e.aliases}]
    assert len(names) == len(set(names))


def test_the_two_eurlex_are_not_one() -> None:
    a, b = entry("eurlex-4k"), entry("eurlex-4k-text")
    assert (a.expected["n_labels"], b.expected["n_labels"]) == (3993, 3956)
    assert "never" in a.same_name_as[b.name]


@pytest.mark.parametrize(
    ("said", "meant"),
    [("EURLEX57K", "eurlex-4.3k"), ("EURLex-4.3K", "eurlex-4.3k"), ("Wiki10-31K", "wiki10-31k"), ("icd10", "icd10cm")],
)
def test_aliases(said: str, meant: str) -> None:
    assert entry(said).name == meant


def test_an_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(UsageError, match="unknown data set 'eurlex4'") as caught:
        entry("eurlex4")
    assert "Did you mean 'eurlex" in caught.value.hint


def test_an_unknown_view_offers_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"view of eurlex-4\.3k 'titel'") as caught:
        entry("eurlex-4.3k").forms_for("titel")
    assert "'title'" in caught.value.hint


TEXTS = ("title", "revision", "summary", "recipe", "default_view", "propensity_source", "licence", "redistribution")
VALID = {key: '"x"' for key in (*TEXTS, "homepage", "lineage", "expected_source")}
VALID |= {"views": '["x"]', "propensity": "[1, 1.5]", "expected": "{ n_test = 3 }"}


def slip(**values: str) -> str:
    """A catalogue of one entry, x, with some values replaced."""
    return "[datasets.x]\n" + "\n".join(f"{key} = {value}" for key, value in (VALID | values).items())


def test_a_catalogue_of_one_entry() -> None:
    known = parse(
        slip(forms='[{ name = "f", views = ["x"], layout = "l" }]') + '\n[layouts]\nl = [{role="a", name="b"}]'
    )
    assert known["x"].propensity == (1.0, 1.5)
    assert known["x"].forms[0].files == (File("a", "b"),)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("datasets = 3 3", "catalogue:"),
        ('[datasets.x]\ntitel = "X"', "catalogue entry x: object contains unknown field titel"),
        ("[datasets.x]", "catalogue entry x: object missing required field title"),
        (slip(cite='["Nobody"]'), "catalogue entry x: cite names 'Nobody'"),
        (slip(propensity="[-1, 1.5]"), "catalogue entry x: propensity -1,1.5: A must be at least 0, B above −1"),
        (slip(propensity="[1, -1.5]"), "catalogue entry x: propensity 1,-1.5"),
        (slip(views="3"), "catalogue entry x: views: expected array, got int"),
        (slip(expected='{ n_test = "3" }'), r"catalogue entry x: expected\[...\]: expected int, got str"),
        (slip(forms='[{ name = "f", views = [], layout = "l" }]'), "entry x, form 1: unknown layout 'l'"),
        (slip(forms='[{ name = "f", views = [], files = [{ role = "a" }] }]'), r"forms\[0\].files\[0\]: .* field name"),
    ],
)
def test_a_slip_in_the_catalogue_is_named(text: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        parse(text)


def test_entries_cant_be_changed() -> None:
    with pytest.raises(TypeError):
        entry("eurlex-4k").expected["n_train"] = 1  # type: ignore[index]
