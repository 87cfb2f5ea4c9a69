"""Files changed at random: every reader returns a value or a DataError, and no change of a sealed file passes unseen.

`mutated(seed, form)` and `outcome(form, path)` have no state, so that thousands of seeds can be tried; a changed file
is given to the reader of its form. A change is structure-aware: bytes flipped, cut, inserted or repeated, numbers
replaced by edge numbers, values of JSON and TOML swapped for other types, headers of npz members and of archives
changed with right checksums.
"""

from __future__ import annotations

import gzip
import io
import json
import random
import re
import struct
import tarfile
import tracemalloc
import warnings
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import zstandard

from xmcbench import limits
from xmcbench.board import published
from xmcbench.comparison import expected
from xmcbench.data import archive, catalogue
from xmcbench.data.documents import read_lf_json
from xmcbench.data.formats import read_both, read_filter, read_labels
from xmcbench.data.numpy_files import read_npz_csr
from xmcbench.data.synthetic import parameters
from xmcbench.data.table_columns import Reading
from xmcbench.data.user_files import SplitFiles, read_splits
from xmcbench.errors import XmcError
from xmcbench.metrics.predictions import read_given
from xmcbench.npz_files import read_npz
from xmcbench.records import record_file
from xmcbench.topk import TopK

EDGES = ("0", "-1", "00", "1.5", "nan", "inf", "-inf", "1e999", "2147483648", "4294967296", "9223372036854775808")
EDGES += (
    "18446744073709551616",
    "1000000000000",
    "9" * 5000,
    "",
    "true",
    "null",
    '"',
    "\ufeff",
    "\ud7ff",
    "²",
    "1_0",
    "+1",
)
VALUES: tuple[Any, ...] = (None, True, 0, -1, 2**31, 2**63, 2**70, 10**310, 1.5, -0.0, "", "x", "\ud800", [], {}, [[]])
VALUES += ([None], {"x": 1}, "9" * 5000)
DENSE = np.array([[0, 2, 0, 0], [3, 0, 0, 4]], np.float32)
WORST = 48 * limits.ROWS  # bytes that a reader may use: what the rows cost that the header of a small file may claim
ROOT = Path(__file__).parents[2] / "leaderboards"
Change = Callable[[random.Random, bytes], bytes]


def saved(save: Callable[[Any], object]) -> bytes:
    buffer = io.BytesIO()
    save(buffer)
    return buffer.getvalue()


def npz(matrix: Any) -> bytes:
    return saved(lambda file: sp.save_npz(file, matrix))


def zipped(members: dict[str, bytes]) -> bytes:
    def save(file: Any) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as out:
            for name, content in members.items():
                out.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)

    return saved(save)


def tarred(members: dict[str, bytes]) -> bytes:
    def save(file: Any) -> None:
        with tarfile.open(fileobj=file, mode="w") as out:
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                out.addfile(info, io.BytesIO(content))

    return saved(save)


def parquet() -> bytes:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet as writer

    table = pyarrow.table({"text": ["one", "two", "é" * 50], "labels": [["a"], ["a", "b"], []]})
    return saved(lambda file: writer.write_table(table, file))


def rows_of(path: Path) -> Any:
    rows = read_splits({"train": SplitFiles(texts=path)}, Reading())[0]["train"]
    return rows.texts, rows.names.rows if rows.names else None


def members(path: Path) -> Any:
    return list(archive.members(path, lambda _: True))


def a_record() -> bytes:
    return min((ROOT / "records").glob("*.json")).read_bytes()


def features_of(path: Path) -> Any:
    features, labels = read_both(path)
    return features, labels, read_labels(path)


@dataclass(frozen=True)
class Form:
    """`name`: the file's; `sealed`: it has a checksum over all that it means, so that no change may pass unseen."""

    name: str
    valid: Callable[[], bytes]
    read: Callable[[Path], Any]
    sealed: bool = False


XMC = b"3 4 3\n0,2 0:0.5 3:1.25\n 1:2\n1 0:1 3:-1e-3\n"
TABLE = [{"text": "one", "labels": ["a"]}, {"text": "two é", "labels": ["a", "b"]}, {"text": "", "labels": []}]
LINES = "".join(json.dumps(row) + "\n" for row in TABLE).encode()
MEMBERS = {"set/train.txt": XMC * 40, "set/test.txt": XMC, "set/label.txt": b"a\nb\n"}
IDS, SCORES = np.array([[2, 0], [1, -1]], np.int32), np.array([[0.5, 0.25], [1, -np.inf]], np.float32)
LF = b'{"title": "a", "content": "b", "target_ind": [0, 2]}\n{"title": "c", "target_ind": []}\n'


def given(path: Path) -> Any:
    return read_given(path, 2, 4).topk(4)


FORMS = {
    "xmc": Form("x.txt", lambda: XMC, features_of),
    "sparse text": Form("x.txt", lambda: b"2 4\n1:2\n0:3 3:4\n", features_of),
    "svmlight": Form("x.txt", lambda: b"# one\n0,1 1:2 # no\n2 0:3 qid:2 3:4\n", features_of),
    "xmc gz": Form("x.txt.gz", lambda: gzip.compress(XMC, mtime=0), read_both, sealed=True),
    "xmc zst": Form("x.txt", lambda: zstandard.compress(XMC), read_both),
    **{
        f"{form} npz": Form("x.npz", lambda f=form: npz(sp.csr_matrix(DENSE).asformat(f)), read_npz_csr, sealed=True)
        for form in ("csr", "csc", "coo", "bsr", "dia")
    },
    "npy": Form("x.npy", lambda: saved(lambda file: np.save(file, DENSE)), features_of),
    "filter": Form("f.txt", lambda: b"0 1\n1 2\n", lambda path: read_filter(path, 3, 3)),
    "scores npz": Form("p.npz", lambda: saved(lambda f: np.savez(f, ids=IDS, scores=SCORES)), given, sealed=True),
    "scores text": Form("p.txt", lambda: b"2 4\n1:2.5 2:1e3\n0:3 3:4\n", given),
    "scores json": Form("p.json", lambda: b'[[[1, 0.5], [2, 3]], {"0": 1}]', given),
    "scores lines": Form("p.jsonl", lambda: b'{"ids": [1, 2], "scores": [1, 2.5]}\n{"0": 1}\n', given),
    "topk": Form("p.npz", lambda: saved(lambda f: np.savez(f, ids=IDS, scores=SCORES)), TopK.load, sealed=True),
    "arrays": Form("a.npz", lambda: saved(lambda f: np.savez_compressed(f, x=DENSE, y=["é"])), read_npz, sealed=True),
    "json lines": Form("t.jsonl", lambda: LINES, rows_of),
    "json array": Form("t.json", lambda: json.dumps(TABLE, indent=1).encode(), rows_of),
    "csv": Form("t.csv", lambda: b'text,labels\n"one, ""1""",a;b\ntwo,b\n', rows_of),
    "tsv": Form("t.tsv", lambda: b"text\tlabels\none\ta;b\ntwo\tb\n", rows_of),
    "parquet": Form("t.parquet", parquet, rows_of),
    "lf": Form("l.json", lambda: LF, lambda path: list(read_lf_json(path, 3))),
    "zip": Form("a.zip", lambda: zipped(MEMBERS), members, sealed=True),
    "tar": Form("a.tar", lambda: tarred(MEMBERS), members),
    "tar gz": Form(
        "a.tar.gz",
        lambda: gzip.compress(tarred(MEMBERS), mtime=0),
        members,
        sealed=True,
    ),
    "record": Form("r.json", a_record, record_file.read, sealed=True),
    "expected": Form("fast.toml", lambda: (ROOT / "expected" / "fast.toml").read_bytes(), expected.read),
    "published": Form(
        "eurlex-4.3k.toml",
        lambda: (ROOT / "published" / "eurlex-4.3k.toml").read_bytes(),
        lambda path: published.load(path.parent),
    ),
    "catalogue": Form(
        "c.toml",
        lambda: files("xmcbench.data").joinpath("catalogue.toml").read_bytes(),
        lambda path: catalogue.parse(path.read_bytes().decode("utf-8", "replace")),
    ),
    "synthetic": Form(
        "s.txt",
        lambda: b"synthetic[rows=50,test=9,labels=30,features=40,per_row=2.5,parents=2,branching=5,noise=0.5,seed=1]",
        lambda path: parameters(path.read_bytes().decode("utf-8", "replace")),
    ),
}


@cache
def valid(form: str) -> bytes:
    return FORMS[form].valid()


def mutated(seed: int, form: str) -> bytes:
    """The valid file of `form` with one change, or seldom two or three."""
    return changed(seed, form)[0]


def changed(seed: int, form: str) -> tuple[bytes, bool]:
    """(`mutated`, whether all checksums stayed as they were)."""
    rng, content, kept = random.Random(f"{form} {seed}"), valid(form), True
    for _ in range(rng.choice([1, 1, 1, 1, 2, 3])):
        change = rng.choice([bytes_changed, *STRUCTURES.get(form, [number_changed])])
        content = change(rng, content)
        kept &= change not in (member_changed, tar_field_changed)
    return content, kept


def outcome(form: str, path: Path) -> Any:
    """What the reader of `form` returns, or the error for the user that it raises; any other exception is a fault."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return FORMS[form].read(path)
        except XmcError as error:
            return error


def bytes_changed(rng: random.Random, content: bytes) -> bytes:
    at, end = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    piece = content[at : min(end, at + 200)]
    junk = rng.choice([b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"\x1b[31m", b"\xed\xa0\x80", rng.randbytes(9)])
    flipped = bytes(byte ^ 1 << rng.randrange(8) for byte in content[at : at + rng.randint(1, 3)])
    return rng.choice(
        [
            content[:at],
            content[:at] + content[end:],
            content[:at] + junk + content[at:],
            content[:at] + flipped + content[at + len(flipped) :],
            content[:at] + flipped + content[at + len(flipped) :],
            content[:at] + piece * rng.choice([2, 1000]) + content[at:],
        ]
    )


def number_changed(rng: random.Random, content: bytes) -> bytes:
    numbers = [*re.finditer(rb"-?\d+(?:\.\d+)?", content)]
    if not numbers:
        return content
    found = rng.choice(numbers)
    edge = rng.choice(EDGES).encode("utf-8", "surrogatepass")
    return content[: found.start()] + edge + content[found.end() :]


def value_changed(rng: random.Random, content: bytes) -> bytes:
    """One value in a JSON text or in a line of it swapped for one of another type, dropped, or nested deeply."""
    lines = content.split(b"\n")
    at = rng.randrange(len(lines)) if content.startswith(b'{"') else None
    try:
        tree = {"": json.loads(content if at is None else lines[at])}
    except (ValueError, RecursionError):  # an earlier change damaged it
        return bytes_changed(rng, content)
    node: Any = tree
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = rng.choice(keys)
        if not isinstance(node[key], dict | list) or not node[key] or rng.random() < 0.2:
            break
        node = node[key]
    if rng.random() < 0.1 and node is not tree:
        del node[key]
    else:
        node[key] = rng.choice([*VALUES, "deep"])
    text = json.dumps(tree[""]).replace('"deep"', rng.choice(["[" * 10**5 + "]" * 10**5, "[" * 10**5, '{"a":' * 10**5]))
    return text.encode() if at is None else b"\n".join([*lines[:at], text.encode(), *lines[at + 1 :]])


def member_changed(rng: random.Random, content: bytes) -> bytes:
    """An npz with another member: its header changed, its array another, no array, or packed in another way."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            members = {info.filename: file.read(info) for info in file.infolist()}
        name = rng.choice(list(members))
    except Exception:  # an earlier change damaged it
        return bytes_changed(rng, content)
    array = members.pop(name)
    kinds = ["<f4", ">i8", "<u8", "|b1", "|O", "<c16", "<U3", "<M8[s]", "|V0", "<f2"]
    others = [np.array(value) for value in (1.5, -1, [2**63], [0, 2**31], [[1]], [], ["x"], [True], b"csr", b"dia")]
    changed = rng.choice(
        [
            lambda: array[:8] + number_changed(rng, array[8:]),
            lambda: re.sub(rb"'[<>|][a-zA-Z]\w*'", repr(rng.choice(kinds)).encode(), array, count=1),
            lambda: saved(lambda out: np.save(out, rng.choice(others))),
            lambda: bytes_changed(rng, array),
            lambda: b"no array",
            lambda: b"",
        ]
    )()
    if rng.random() < 0.9:
        members[rng.choice([name, name, name, "other.npy", "readme.txt"])] = changed
    packing = rng.choice([0, 8, 8, zipfile.ZIP_LZMA])
    with zipfile.ZipFile(out := io.BytesIO(), "w") as file:
        for key, value in members.items():
            file.writestr(zipfile.ZipInfo(key), value, packing)  # without the time
    return out.getvalue()


def zip_field_changed(rng: random.Random, content: bytes) -> bytes:
    """A field of 2 or 4 bytes of a header of a zip archive set to another value."""
    headers = [m.start() for m in re.finditer(rb"PK(?:\x01\x02|\x03\x04|\x05\x06)", content)]
    if not headers:
        return content
    at = rng.choice(headers) + rng.randrange(4, 46, 2)
    field = rng.choice([struct.pack("<H", rng.choice([0, 1, 8, 99, 0x7FFF, 0xFFFF]))] * 2 + [b"\xff" * 4, b"\0" * 4])
    return content[:at] + field + content[at + len(field) :]


def tar_field_changed(rng: random.Random, content: bytes) -> bytes:
    """A field of a header of a tar archive set to another value, with a right checksum; packed again if it was."""
    packed = content.startswith(b"\x1f\x8b")
    try:
        plain = bytearray(gzip.decompress(content) if packed else content)
    except (OSError, EOFError, zlib.error):
        return content
    headers = [m.start() - 257 for m in re.finditer(rb"ustar", plain) if m.start() >= 257]
    if not headers:
        return content
    at = rng.choice(headers)
    field, size = rng.choice([(0, 100), (100, 8), (124, 12), (124, 12), (156, 1), (156, 1), (157, 100), (345, 155)])
    big = rng.choice([b"\x80" + b"\0" * 10 + b"\x05", b"\x80" + b"\x7f" * 11, b"\xff" * 11 + b"\0", b"7" * 12, b"x"])
    value = rng.choice(
        [big, rng.choice([b"L", b"K", b"x", b"g", b"S", b"1", b"2", b"3", b"6", b"9"]), rng.randbytes(size)]
    )
    plain[at + field : at + field + size] = value[:size].ljust(size, b"\0")
    plain[at + 148 : at + 156] = b" " * 8
    plain[at + 148 : at + 156] = b"%06o\0 " % sum(plain[at : at + 512])
    return gzip.compress(bytes(plain), mtime=0) if packed else bytes(plain)


STRUCTURES: dict[str, list[Change]] = {
    **{
        form: [member_changed, member_changed, zip_field_changed] for form in FORMS if FORMS[form].name.endswith(".npz")
    },
    **{form: [value_changed, number_changed] for form in FORMS if ".json" in FORMS[form].name},
    "zip": [zip_field_changed],
    "tar": [tar_field_changed],
    "tar gz": [tar_field_changed],
    "xmc gz": [],
    "xmc zst": [],
    "parquet": [],
}


def plain(value: Any) -> Any:
    """A value for comparison: arrays as lists, with their types."""
    if sp.issparse(value):
        return value.shape, value.toarray().tolist()
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.tolist()
    if isinstance(value, TopK):
        return plain(value.ids), plain(value.scores)
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, tuple | list) else value


def check(seed: int, form: str, folder: Path) -> None:
    """Read a changed file: AssertionError, or the exception itself, if the reader does what it must not do."""
    path = folder / FORMS[form].name
    path.write_bytes(valid(form))
    original = plain(outcome(form, path))
    content, kept_checksums = changed(seed, form)
    path.write_bytes(content)
    tracemalloc.start()
    try:
        found = outcome(form, path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < WORST, f"{form}, seed {seed}: {peak:,} bytes"
    if isinstance(found, XmcError):
        assert found.message, f"{form}, seed {seed}"
        str(found).encode()  # can be printed
        return
    if FORMS[form].sealed and kept_checksums:
        assert plain(found) == original, f"{form}, seed {seed}: the change passed unseen"
