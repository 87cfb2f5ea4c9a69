"""XC repository text: every valid form reads alike, every damage is named with file and line."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from xmcbench.data import formats, matrix_text
from xmcbench.data.lines import look
from xmcbench.data.reading import DataWarning
from xmcbench.data.xmc_text import Text
from xmcbench.errors import DataError

GOOD = b"3 5 4\n0,2 0:0.5 3:1.25\n 1:2\n3 4:-1e-3\n"
X = np.array([[0.5, 0, 0, 1.25, 0], [0, 2, 0, 0, 0], [0, 0, 0, 0, -1e-3]], np.float32)
Y = np.array([[1, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1]], np.float32)


def xmc(folder: Path, data: bytes, **options: bool) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    path = folder / "data.txt"
    path.write_bytes(data)
    return matrix_text.read_xmc(path, **options)


def sparse(folder: Path, data: bytes, **options: bool) -> sp.csr_matrix:
    path = folder / "matrix.txt"
    path.write_bytes(data)
    return matrix_text.read_sparse(path, **options)


@pytest.mark.parametrize(
    "data",
    [
        GOOD,
        GOOD.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + GOOD,
        GOOD.rstrip(b"\n"),
        GOOD + b"\n\n",
        GOOD + b"  \r\n",
        GOOD.replace(b"\n 1:2", b"\n1:2"),
        GOOD.replace(b"0:0.5 3:1.25", b"3:1.25 0:0.5"),
        GOOD.replace(b"0,2 ", b"2,0 "),
        GOOD.replace(b"0,2 0:0.5 ", b"0,2\t0:.5  \t"),
        GOOD.replace(b"1.25", b"+1.25").replace(b"-1e-3", b"-0.1E-2"),
        GOOD.replace(b"0.5 ", b"0.50000000000000000000000000000001 "),
        GOOD.replace(b"3 5 4", b"  3 5\t4 "),
    ],
)
@pytest.mark.parametrize("block", [3, matrix_text.BLOCK])
def test_every_valid_spelling_reads_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, block: int
) -> None:
    monkeypatch.setattr(matrix_text, "BLOCK", block)  # lines may begin and end in any block
    features, labels = xmc(tmp_path, data)
    assert features.dtype == labels.dtype == np.float32
    assert features.has_sorted_indices
    assert np.array_equal(features.toarray(), X)
    assert np.array_equal(labels.toarray(), Y)


def test_compressed_text(tmp_path: Path) -> None:
    path = tmp_path / "data.txt"
    path.write_bytes(gzip.compress(GOOD))
    assert np.array_equal(matrix_text.read_xmc(path)[0].toarray(), X)


def test_empty_lines_are_rows_without_entries(tmp_path: Path) -> None:
    assert np.array_equal(sparse(tmp_path, b"3 2\n0:1\n\n1:2\n").toarray(), [[1, 0], [0, 0], [0, 2]])
    features, labels = xmc(tmp_path, b"3 2 2\n0 0:1\n\n1\n")
    assert np.array_equal(features.toarray(), [[1, 0], [0, 0], [0, 0]])
    assert np.array_equal(labels.toarray(), [[1, 0], [0, 0], [0, 1]])


def test_explicit_zeros_stay_in_a_matrix_and_are_no_labels(tmp_path: Path) -> None:
    assert sparse(tmp_path, b"1 3\n0:0 2:1\n").nnz == 2
    assert formats.read_labels(tmp_path / "matrix.txt").indices.tolist() == [2]


def test_label_named_twice_counts_once_and_is_said(tmp_path: Path) -> None:
    with pytest.warns(DataWarning, match=r"1 rows name a label twice, first in line 3"):
        _, labels = xmc(tmp_path, b"2 1 4\n0 0:1\n3,1,3,1 0:1\n")
    assert labels.toarray().tolist() == [[1, 0, 0, 0], [0, 1, 0, 1]]
    with pytest.warns(DataWarning, match=r"first in line 2"):
        _, labels = xmc(tmp_path, b"1 1 4\n2,2 0:1e-200\n")  # the value goes through Python
    assert labels.toarray().tolist() == [[0, 0, 1, 0]]


@pytest.mark.parametrize(
    ("data", "line", "says"),
    [
        (b"", 1, "the file is empty"),
        (b"\n", 1, "expected a header 'points features labels'"),
        (b"1,2 0:1\n", 1, "found '1,2 0:1'"),
        (b"3 5\n0:1\n", 1, "the header of a file of features or of labels alone"),
        (b"\xff\xfe3 5 4\n", 1, "expected a header"),
        (GOOD.replace(b"3 5 4", b"4 5 4"), 4, "the header says 4 rows, the file ends after 3"),
        (GOOD.replace(b"3 5 4", b"1000000000000 5 4"), 4, "1000000000000 rows, the file ends after 3"),
        (GOOD.replace(b"3 5 4", b"3 5000000000000 4"), 1, "5000000000000 features in the header can't be right"),
        (GOOD.replace(b"3 5 4", b"3 5 200000000"), 1, "200000000 labels in the header can't be right"),
        (GOOD.replace(b"3 5 4", b"3 5 99999999999999999999999"), 1, "99999999999999999999999 in the header can't be"),
        (GOOD.replace(b"3 5 4", b"2 5 4"), 4, "the file holds more"),
        (GOOD.replace(b"3 5 4", b"3 4 4"), 4, "column id '4' is outside: the header's width is 4"),
        (GOOD.replace(b"3 5 4", b"3 5 3"), 4, "label id '3' is outside"),
        (GOOD[:-3], 4, "cut off"),
        (GOOD[:-2], 4, "cut off"),
        (GOOD[:-6], 4, "cut off"),
        (GOOD[:-7], 4, "not an id:value pair"),
        (GOOD.replace(b"3:1.25", b"-3:1.25"), 2, "column id '-3' is negative"),
        (GOOD.replace(b"0,2", b"0,-2"), 2, "label id '-2' is negative"),
        (GOOD.replace(b"0,2", b"0,,2"), 2, "no label id before or after a comma, in '0,,2'"),
        (GOOD.replace(b"0,2 ", b"0,2, "), 2, "no label id before or after a comma, in '0,2,'"),
        (GOOD.replace(b"0,2 ", b"0, 2 "), 2, "'0,'\n  Labels are written with commas and no spaces"),
        (GOOD.replace(b"0,2 ", b"# 0,2 "), 2, "3:1.25': comments are read only in text without a header"),
        (GOOD.replace(b"1:2", b"1:nan"), 3, "must be finite"),
        (GOOD.replace(b"1:2", b"1:-inf"), 3, "must be finite"),
        (GOOD.replace(b"1:2", b"1:1e39"), 3, "too large for float32"),
        (GOOD.replace(b"1:2", b"1:1e999"), 3, "too large for float32"),
        (GOOD.replace(b"1:2", b"1:3.4028236e38"), 3, "too large for float32"),
        (GOOD.replace(b"1:2", b"1:123456789012345678e22"), 3, "too large for float32"),
        (GOOD.replace(b"1:2", b"1:0x1"), 3, "no number after ':'"),
        (GOOD.replace(b"1:2", b"1:1_0"), 3, "no number after ':'"),
        (GOOD.replace(b"1:2", b"1:2:3"), 3, "no number after ':'"),
        (GOOD.replace(b"1:2", b"1 2"), 3, "not an id:value pair"),
        (GOOD.replace(b"1:2", b"99999999999999999999:2"), 3, "is outside"),
        (GOOD.replace(b"1:2", b"1:2 \xc3\xa9"), 3, "byte 0xc3 at column 6"),
        (GOOD.replace(b"1:2", b"1:2\x00"), 3, "no number"),
        (GOOD.replace(b"3:1.25", b"0:1.25"), 2, "id 0 occurs twice"),
    ],
)
def test_damage_is_named_with_file_and_line(tmp_path: Path, data: bytes, line: int, says: str) -> None:
    with pytest.raises(DataError) as caught:
        xmc(tmp_path, data)
    assert f"{tmp_path / 'data.txt'}, line {line}:" in str(caught.value)
    assert says in str(caught.value)
    assert caught.value.exit_code == 4


def test_first_bad_line_is_the_one_named(tmp_path: Path) -> None:
    rows = [b"0:1"] * 1000
    rows[700], rows[301] = b"0:x", b"7:1"
    with pytest.raises(DataError, match="line 303:"):
        sparse(tmp_path, b"1000 5\n" + b"\n".join(rows) + b"\n")


def test_one_based_files_are_recognised_and_can_be_read(tmp_path: Path) -> None:
    data = b"2 3 2\n1,2 1:1 3:2\n2 2:1\n"
    with pytest.raises(DataError, match=r"line 2: label id '2'.*looks 1-based: its label ids run from 1 to 2"):
        xmc(tmp_path, data)
    with pytest.raises(DataError, match=r"looks 1-based: its column ids run from 1 to 3.*\n.*--one-based"):
        xmc(tmp_path, data, one_based_labels=True)
    features, labels = xmc(tmp_path, data, one_based_labels=True, one_based_features=True)
    assert features.toarray().tolist() == [[1, 0, 2], [0, 1, 0]]
    assert labels.toarray().tolist() == [[1, 1], [0, 1]]
    with pytest.raises(DataError, match="column id 0 in a file with one-based ids"):
        sparse(tmp_path, b"1 3\n0:1\n", one_based=True)
    with pytest.raises(DataError, match=r"is outside: the header's width is 3") as caught:
        sparse(tmp_path, b"2 3\n3:1\n0:1\n")  # a 0 occurs: not 1-based, just wrong
    assert "looks 1-based" not in str(caught.value)


def test_irregular_rows_among_others_in_many_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python parses the rows whose values the kernels leave to it, and they come to their places."""
    rng = np.random.default_rng(0)
    rows = [
        f"{','.join(map(str, rng.integers(0, 9, 3)))} 0:{rng.random():.4f} {i % 7 + 1}:1e-{60 if i % 3 else 3}"
        for i in range(200)
    ]
    path = tmp_path / "data.txt"
    path.write_text("200 9 9\n" + "\n".join(rows))
    for block in (1, 50, 333, 1 << 20):
        monkeypatch.setattr(matrix_text, "BLOCK", block)
        first = next(i for i, row in enumerate(rows) if len(set(row.split(" ")[0].split(","))) < 3)
        with pytest.warns(DataWarning, match=rf"rows name a label twice, first in line {first + 2};"):
            features, labels = matrix_text.read_xmc(path, threads=3)
        for i, row in enumerate(rows):
            names, *pairs = row.split(" ")
            assert labels[[i]].indices.tolist() == sorted({int(name) for name in names.split(",")})
            assert features[[i]].indices.tolist() == [int(pair.split(":")[0]) for pair in pairs]
            expected = np.array([float(pair.split(":")[1]) for pair in pairs]).astype(np.float32)
            assert np.array_equal(features[[i]].data, expected)


def test_too_few_rows_are_said_before_a_wrong_row_and_too_many_after_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 3: the header says 3 rows, the file ends after 2"):
        sparse(tmp_path, b"3 5\n0:x\n1:1\n")
    with pytest.raises(DataError, match=r"line 4: the header says 2 rows, the file holds more \(4\)"):
        sparse(tmp_path, b"2 5\n0:1\n1:1\n2:2\n\n")
    with pytest.raises(DataError, match=r"line 3: '# all': comments are read only"):  # a comment is the row too many
        sparse(tmp_path, b"2 5\n0:1\n# all\n1:1\n")


def test_a_blank_line_among_too_many_rows_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 5: .* holds more") as info:
        sparse(tmp_path, b"3 5\n0:1\n \r\n1:1\n2:2\n")
    assert info.value.hint.startswith("Line 3 is blank, which is a row too: remove it if it should be none.")


def test_a_small_compressed_file_claims_no_wide_matrix(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 1: 200000000 columns in the header can't be right"):
        sparse(tmp_path, gzip.compress(b"1 200000000\n0:1\n"))


def test_a_header_without_end(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 1: expected a header"):
        sparse(tmp_path, b"1 2" + b" " * 5000 + b"\n0:1\n")


def test_a_file_that_is_truncated_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an error: the file is not mapped into memory, where a missing page would end the process."""
    path = tmp_path / "data.txt"
    path.write_bytes(b"100000 5\n" + b"0:0.5 3:1.25\n" * 100_000)
    monkeypatch.setattr(matrix_text, "BLOCK", 1 << 16)
    add = matrix_text.Body.add

    def truncate(self: matrix_text.Body, *parsed: Any) -> None:
        if self.n_lines == 0:
            os.truncate(path, 0)
        add(self, *parsed)

    monkeypatch.setattr(matrix_text.Body, "add", truncate)
    with pytest.raises(DataError, match=r"the header says 100000 rows, the file ends after \d+"):
        matrix_text.read_sparse(path, threads=1)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        matrix_text.read_xmc(tmp_path / "nowhere.txt")


NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False, width=32).map(lambda v: str(np.float32(v))),
    st.floats(-1e38, 1e38).map(repr),
    st.floats(-1e38, 1e38).map(lambda v: f"{v:.30f}"),
    st.from_regex(r"[+-]?[0-9]{1,25}(\.[0-9]{0,25})?([eE][+-]?[0-9]{1,2})?", fullmatch=True),
    st.from_regex(r"-?0?\.0{0,30}[0-9]{1,20}", fullmatch=True),
    # half-way between two float32: the hardest case for rounding
    st.floats(2.0**-60, 2.0**60, width=32).map(
        lambda v: repr((float(v) + float(np.nextafter(np.float32(v), np.float32(np.inf)))) / 2)
    ),
).filter(lambda text: abs(float(text)) < 3.4e38)


@settings(max_examples=150, deadline=None)
@given(st.lists(NUMBERS, min_size=1, max_size=20))
def test_values_equal_pythons_float_rounded_once(tmp_path_factory: pytest.TempPathFactory, numbers: list[str]) -> None:
    folder = tmp_path_factory.mktemp("numbers")
    body = " ".join(f"{i}:{text}" for i, text in enumerate(numbers))
    read = sparse(folder, f"1 {len(numbers)}\n{body}\n".encode())
    expected = np.array([float(text) for text in numbers]).astype(np.float32)
    assert read.data.tobytes() == expected.tobytes()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), rows=st.integers(1, 40), width=st.integers(1, 30), threads=st.integers(1, 5))
def test_what_is_written_reads_back_on_any_number_of_threads(
    tmp_path_factory: pytest.TempPathFactory, seed: int, rows: int, width: int, threads: int
) -> None:
    folder = tmp_path_factory.mktemp("round")
    features = sp.random(rows, width, 0.2, "csr", np.float32, rng=np.random.default_rng(seed))
    features.data *= np.float32(10.0) ** np.random.default_rng(seed).integers(-30, 30, features.nnz)
    labels = sp.random(rows, 7, 0.3, "csr", np.float32, rng=np.random.default_rng(seed + 1))
    labels.data[:] = 1
    features.sort_indices()
    labels.sort_indices()
    formats.write_xmc(folder / "both.txt", features, labels)
    formats.write_sparse(folder / "one.txt", features)
    formats.write_npz_csr(folder / "one.npz", features)
    read_x, read_y = matrix_text.read_xmc(folder / "both.txt", threads=threads)
    same(read_x, features)
    same(read_y, labels)
    same(matrix_text.read_sparse(folder / "one.txt", threads=threads), features)
    same(formats.read_matrix(folder / "one.txt"), features)
    same(formats.read_matrix(folder / "both.txt"), features)
    same(formats.read_labels(folder / "both.txt"), labels)
    same(formats.read_matrix(folder / "one.npz"), features)


def same(one: sp.csr_matrix, other: sp.csr_matrix) -> None:
    assert one.shape == other.shape
    assert np.array_equal(one.indptr, other.indptr)
    assert np.array_equal(one.indices, other.indices)
    assert one.data.tobytes() == other.data.tobytes()


ALPHABET = [bytes([c]) for c in b"0123456789:,. \t-+eE\r\nxn"] + [b"\xff", b"1e39", b"nan"]
EDITS = st.lists(st.tuples(st.integers(0, 60), st.sampled_from(ALPHABET), st.booleans()), min_size=1, max_size=3)


@settings(max_examples=300, deadline=None)
@given(EDITS, st.booleans())
def test_kernels_accept_what_plain_python_accepts(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[int, bytes, bool]], with_labels: bool
) -> None:
    """Random edits of good text: both read the same arrays, or both refuse."""
    body = b"0,2 0:0.5 3:1.25\n1:2\n3 4:-1e-3 2:77777777777777777777\n" if with_labels else b"0:0.5 3:1.25\n\n4:-1e-3\n"
    for at, byte, insert in edits:
        body = body[:at] + byte + body[at + (not insert) :]
    lines = body.split(b"\n")[: body.count(b"\n") + (not body.endswith(b"\n"))]
    path = tmp_path_factory.mktemp("fuzz") / "data.txt"
    path.write_bytes(f"{len(lines)} 5{' 4' if with_labels else ''}\n".encode() + body)
    text = Text(
        with_labels,
        n_labels=4 if with_labels else 0,
        n_features=5,
        label_base=0,
        feature_base=0,
        header=True,
        exact=False,
    )
    try:
        expected = [look(path, text, i + 2, line.removesuffix(b"\r")) for i, line in enumerate(lines)]
    except DataError:
        expected = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            read = matrix_text.read_xmc(path) if with_labels else (matrix_text.read_sparse(path), None)
    except DataError as error:
        cut_off = "cut off" in error.message  # of the last line without a newline, which one line can't know
        assert expected is None or cut_off
        return
    assert expected is not None
    for row, (labels, ids, values) in enumerate(expected):
        assert read[0][[row]].indices.tolist() == ids
        assert read[0][[row]].data.tobytes() == np.array(values, np.float64).astype(np.float32).tobytes()
        if read[1] is not None:
            assert read[1][[row]].indices.tolist() == labels


def plain_xmc(path: Path) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """The reader's twin in plain Python."""
    lines = path.read_text().split("\n")
    n, d, n_labels = map(int, lines[0].split())
    features, labels = [], []
    for row, line in enumerate(lines[1 : n + 1]):
        names, *pairs = line.split(" ")
        labels += [(row, int(label), 1.0) for label in names.split(",") if label]
        features += [(row, int(pair.split(":")[0]), float(pair.split(":")[1])) for pair in pairs if pair]

    def csr(entries: list[tuple[int, int, float]], width: int) -> sp.csr_matrix:
        rows, ids, values = zip(*entries, strict=True)
        return sp.csr_matrix((np.array(values).astype(np.float32), (rows, ids)), shape=(n, width))

    return csr(features, d), csr(labels, n_labels)


def test_genuine_files_read_as_plain_python_reads_them(shared: Path) -> None:
    for name, x, y in (
        ("bibtex/test.txt", (2515, 1836), (2515, 159)),
        ("eurlex-4k-fragment/test_part_1316.txt", (1316, 5000), (1316, 3993)),
    ):
        path = shared / "data" / name
        features, labels = matrix_text.read_xmc(path)
        assert (features.shape, labels.shape) == (x, y)
        for mine, plain in zip((features, labels), plain_xmc(path), strict=True):
            same(mine, plain)


def test_a_genuine_file_is_written_back_byte_for_byte(shared: Path, tmp_path: Path) -> None:
    path = shared / "data" / "delicious" / "test.txt"
    formats.write_xmc(tmp_path / "again.txt", *matrix_text.read_xmc(path))
    assert (tmp_path / "again.txt").read_bytes().split() == path.read_bytes().split()


def test_interpreted_kernels_read_what_compiled_ones_do(tmp_path: Path) -> None:
    """Without numba, arithmetic on bytes must not wrap at 256: fuzzers and debuggers run the kernels like that."""
    path = tmp_path / "data.txt"
    path.write_bytes(b"3 500 400\n0,299 0:.25 400:1.3e-2\n 1:300e-2 257:999\n399 4:-1e3 499:12345.678e-5\n")
    script = (
        "import sys; from pathlib import Path; from xmcbench.data.matrix_text import read_xmc;"
        "features, labels = read_xmc(Path(sys.argv[1]));"
        "print(features.tocoo().row, features.indices, features.data.tolist(), labels.indices)"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", script, str(path)],
            env={**os.environ, "NUMBA_DISABLE_JIT": disabled},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout
        for disabled in ("0", "1")
    ]
    assert outputs[0] == outputs[1]
    assert "999.0" in outputs[0]
