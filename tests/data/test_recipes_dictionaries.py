"""Recipes of the dictionaries on small files made by hand; a hash of a document's words says if it is of test."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from xmcbench.data.catalogue import entry
from xmcbench.data.places import instructions
from xmcbench.data.recipes import dictionaries, recipe
from xmcbench.data.recipes.dictionaries import TAGS
from xmcbench.data.recipes.hashed import in_test, merged, select_labels
from xmcbench.data.spec import Parsed
from xmcbench.errors import DataError


def run(name: str, files: dict[str, Path], view: str = "bow") -> Parsed:
    return recipe(name).run(files, view, {})


def rows(parsed: Parsed) -> dict[str, list[tuple[str, list[str]]]]:
    """Each split as (text, label texts)."""
    assert parsed.label_texts is not None
    found = {}
    for name, split in (("train", parsed.train), ("test", parsed.test)):
        assert split.texts is not None
        found[name] = [
            (text, [parsed.label_texts[label] for label in split.labels[i].indices])
            for i, text in enumerate(split.texts)
        ]
    return found


def test_texts_of_the_same_words_are_one_document() -> None:
    texts, labels = merged([("Row; line", "a"), ("b", "b"), ("line (row), line", "ac"), ("…", "d")])
    assert texts == {"line row": "Row; line", "b": "b"}
    assert labels == {"line row": {"a", "c"}, "b": {"b"}}


def test_labels_of_too_few_and_too_many_documents() -> None:
    labels = {1: "abc", 2: "ab", 3: "ad", 4: "a"}
    assert select_labels(labels) == {1: ["a", "b", "c"], 2: ["a", "b"], 3: ["a", "d"], 4: ["a"]}
    assert select_labels(labels, least=2) == {1: ["a", "b"], 2: ["a", "b"], 3: ["a"], 4: ["a"]}
    assert select_labels(labels, least=2, most=0.5) == {1: ["b"], 2: ["b"]}


def test_one_key_in_five_is_of_test() -> None:
    assert [in_test(key) for key in ("ditto mark", "haus", "and dew rain", "sonne")] == [True, True, False, True]
    assert sum(in_test(str(i)) for i in range(10_000)) / 10_000 == pytest.approx(0.2, abs=0.01)


EDICT = """　？？？ /EDICT, EDICT_SUB(P), EDICT2 Japanese-English Electronic Dictionary Files/
ゝ /(unc) repetition mark in hiragana/
〃仝 [おなじ] /(n) ditto mark/
雨露 [あまつゆ] /(ik) (n) rain and dew/
雨霰 [あめあられ] /(n,adv-to) (1) (not) hail (e.g. of bullets)/barrage/(n) (2) (comp) storm/(P)/
露雨露 [うろ] /(n) Rain, and dew/
四度 [よど] /
"""
KANJIDIC = """# KANJIDIC JIS X 0208 Kanji Information File/
雨 312B U96e8 B173 G1 S8 Yyu3 ウ あめ T1 さめ {rain} {wet weather}
露 4F2A U9732 B173 S21 ロ ロウ つゆ {dew}
霰 6E52 U9730 サン あられ {hail}
"""


def edict(folder: Path, edict: str = EDICT, kanjidic: str = KANJIDIC) -> dict[str, Path]:
    files = {"edict": folder / "edict", "kanjidic": folder / "kanjidic"}
    for role, text in (("edict", edict), ("kanjidic", kanjidic)):
        files[role].write_bytes(text.encode("euc_jp"))
    return files


def test_edict(tmp_path: Path) -> None:
    parsed = run("edict", edict(tmp_path))
    # by code point: 仝 4edd, 雨 96e8, 露 9732 would come after 霰 9730; the entry of kana and the empty one are none
    assert parsed.label_texts == ["仝", "雨 rain, wet weather", "霰 hail", "露 dew"]
    assert rows(parsed) == {
        "train": [
            ("rain and dew", ["雨 rain, wet weather", "露 dew"]),
            ("(not) hail (e.g. of bullets); barrage; storm", ["雨 rain, wet weather", "霰 hail"]),
        ],
        "test": [("ditto mark", ["仝"])],
    }
    assert parsed.train.features is not None
    assert parsed.train.features.shape == (2, 11)  # and, dew, rain; barrage, bullets, e, g, hail, not, of, storm
    assert run("edict", edict(tmp_path), "text").train.features is None


@pytest.mark.parametrize(
    ("gloss", "left"),
    [
        ("(n) word", "word"),
        ("(adj-na,adj-no,adv,vs) (3) (on-mim) (ksb:) word (of x)", "word (of x)"),
        ("(v5r-i,vi) (net-sl) word", "word"),
        ("(P)", ""),
        ("(female) servant", "(female) servant"),
        ("(one's own) servant", "(one's own) servant"),
    ],
)
def test_annotations_of_edict(gloss: str, left: str) -> None:
    assert TAGS.sub("", gloss, count=1) == left


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"edict": EDICT + "雨霰 [あめあられ]\n"}, "edict, line 8: not an entry of EDICT"),
        ({"edict": EDICT + "雨霰 [あめ] /(n) cut o"}, "edict, line 8: not an entry of EDICT"),
        ({"kanjidic": "rain {雨}\n"}, "kanjidic, line 1: not an entry of KANJIDIC"),
    ],
)
def test_damage_of_edict_names_file_and_line(tmp_path: Path, files: dict[str, str], said: str) -> None:
    with pytest.raises(DataError, match=said):
        run("edict", edict(tmp_path, **files))


def test_edict_in_another_encoding(tmp_path: Path) -> None:
    files = edict(tmp_path)
    files["edict"].write_text(EDICT, encoding="utf-8")
    with pytest.raises(DataError, match="edict: not in EUC-JP"):
        run("edict", files)


DING = """# Version :: devel 2023-01-30
Aal {m} (auf der Speisekarte) [cook.] | Aal blau :: Eel (on a bolts menu) | eel nuts
Aalfang {m} :: the eel fishing
das A und O [ugs.] :: the nuts and bolts [coll.]
Haus {n} :: the house <sun>; nuts
Sonnendach {n} :: sun blind
Sonnendach {n} [auto] | Sonnendächer {pl} :: 2 bolts; x-sunshine | sun blinds
Sonne {f} :: Sun
"""


def ding(folder: Path, more: str = "") -> dict[str, Path]:
    (folder / "de-en").write_text(DING + more, encoding="utf-8")
    return {"de-en": folder / "de-en"}


def test_ding(tmp_path: Path) -> None:
    filler = "".join(f"Wort{i} :: {chr(97 + i // 26 % 26)}{chr(97 + i % 26)}word\n" for i in range(400))
    parsed = run("ding", ding(tmp_path, filler))
    # of 406 documents, 2 are at most 0.5 % and 3, which "the" has, are more; one is too few for fishing, and, house …
    assert parsed.label_texts == ["bolts", "eel", "nuts", "sun"]
    assert rows(parsed) == {
        "train": [
            ("Aal (auf der Speisekarte)", ["eel"]),
            ("Aalfang", ["eel"]),
            ("Sonnendach", ["bolts", "sun"]),
        ],
        "test": [("das A und O", ["bolts", "nuts"]), ("Haus", ["nuts"]), ("Sonne", ["sun"])],
    }
    assert parsed.train.features is not None
    text = run("ding", ding(tmp_path, filler), "text")
    assert text.train.features is None
    assert text.test.texts == parsed.test.texts


def test_damage_of_ding_names_file_and_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="de-en, line 9: no ' :: '"):
        run("ding", ding(tmp_path, "Sonne {f} : Sun\n"))


DEFINITIONS = [
    ("00-database-info", "00-database-info\nSee {Zebra}.\n"),
    ("ant", "ant\nemmet\n\n   <insect> Lives like a {bee}, not a {dog}.\n"),
    ("bee", "Bee\n\n   {Lives (CAT)} {in a\n   hive (ant)}.  See {bee}, {(http://example.org/)}.\n"),
    ("cat", "cat\n\n   Nothing like the dog.\n"),
    ("cow", "cow\n\n   Eats grass, the {ant} does not.\n"),
]


def base64(number: int) -> str:
    """Three digits as in dictd's index."""
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    return digits[number // 64**2] + digits[number // 64 % 64] + digits[number % 64]


def dictionary(folder: Path, definitions: list[tuple[str, str]] = DEFINITIONS) -> dict[str, Path]:
    """The files of dictd; "emmet" leads to the definition of ant."""
    content, lines = b"", []
    for name, text in definitions:
        span = f"{base64(len(content))}\t{base64(len(text.encode()))}"
        lines += [f"{name}\t{span}\n"] + ([f"emmet\t{span}\n"] if name == "ant" else [])
        content += text.encode()
    files = {"index": folder / "foldoc.index", "dict": folder / "foldoc.dict.dz"}
    files["index"].write_text("".join(sorted(lines)), encoding="utf-8")
    files["dict"].write_bytes(gzip.compress(content))
    return files


def test_foldoc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dictionaries, "FOLDOC_MAX_SHARE", 1.0)  # with three documents, one is more than 10 %
    parsed = run("foldoc", dictionary(tmp_path))
    assert parsed.label_texts == ["ant, emmet", "Bee", "cat"]  # dog is no definition, cow not referred to
    assert rows(parsed) == {
        "train": [("ant emmet <insect> Lives like a , not a .", ["Bee"])],
        "test": [
            ("Bee . See , .", ["ant, emmet", "cat"]),  # not itself
            ("cow Eats grass, the does not.", ["ant, emmet"]),
        ],
    }
    assert run("foldoc", dictionary(tmp_path), "text").train.features is None


def test_foldoc_leaves_out_lists_and_what_too_many_refer_to(tmp_path: Path) -> None:
    animals = [(f"a{i:03}", f"a{i:03}\n\n   Word{i} like {{a{(i + 1) % 110:03}}} of {{zoo}}.\n") for i in range(110)]
    listed = ("list", "list\n\n   All: " + " ".join(f"{{a{i:03}}}" for i in range(101)) + "\n")
    parsed = run("foldoc", dictionary(tmp_path, [*animals, listed, ("zoo", "zoo\n\n   A park.\n")]))
    assert parsed.label_texts == [f"a{i:03}" for i in range(110)]
    assert parsed.train.labels.nnz + parsed.test.labels.nnz == 110


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"index": b"ant\tA\n"}, "foldoc.index, line 1: not an entry"),
        ({"index": b"ant\tA\t?\n"}, "foldoc.index, line 1: not an entry"),
        ({"dict": b"not gzip"}, "foldoc.dict.dz: damaged"),
        ({"dict": gzip.compress(b"short")}, "foldoc.dict.dz: shorter than its index says"),
        ({"dict": gzip.compress(b"cut short")[:-9]}, "foldoc.dict.dz: damaged"),
    ],
)
def test_damage_of_foldoc_names_the_file(tmp_path: Path, change: dict[str, bytes], said: str) -> None:
    files = dictionary(tmp_path)
    for role, content in change.items():
        files[role].write_bytes(content)
    with pytest.raises(DataError, match=said):
        run("foldoc", files)


@pytest.mark.parametrize(
    ("name", "packages"), [("edict", "edict kanjidic"), ("ding", "trans-de-en"), ("foldoc", "dict-foldoc")]
)
def test_who_lacks_the_files_is_told_the_packages(name: str, packages: str) -> None:
    assert f"apt install {packages}" in instructions(entry(name))
