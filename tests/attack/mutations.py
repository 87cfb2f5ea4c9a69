"""Reads thousands of damaged files with every reader: a value or an XmcError, never another error, a crash or a hang.

python tests/attack/mutations.py [--files 2000] [--seconds 120] [--seed 0] [FORM …]

Children of this process read the files in batches, with limits of memory and time; a child that dies names its file.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import resource
import signal
import sys
import tarfile
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from scenes import faults_shown

MEMORY = 1 << 30  # bytes that a reader may take beyond what this process has; the files have some kilobytes
SECONDS = 10.0  # per file
BATCH = 40
EDGES = (
    b"0",
    b"-1",
    b"2147483647",
    b"2147483648",
    b"4294967296",
    b"9223372036854775807",
    b"1e999",
    b"nan",
    b"9" * 5000,
)
SWAPS: tuple[object, ...] = (None, True, -1, 2**63, 1e300, "", "\x00\ud800", [], {}, [[]], {"a": 1})
Reader = Callable[[Path], object]


@dataclass(frozen=True)
class Form:
    """A form of file.

    Attributes
    ----------
    name : its name on disk. valid : the content of a valid file. readers : everything that reads it.
    checked : what a reader makes of a file whose form has checksums; a damaged file gives the same or an error.
    """

    name: str
    valid: bytes
    readers: tuple[Reader, ...]
    checked: Reader | None = None


def forms() -> dict[str, Form]:
    """Every form with its readers."""
    from xmcbench.board import published
    from xmcbench.board.pairs import Cache
    from xmcbench.comparison import expected
    from xmcbench.data import archive, documents, formats
    from xmcbench.data.plain_files import plain_texts
    from xmcbench.data.table_columns import Reading
    from xmcbench.data.table_files import table_rows
    from xmcbench.metrics.predictions import read_predictions
    from xmcbench.npz_files import read_npz
    from xmcbench.records import record_file
    from xmcbench.topk import TopK

    matrix: tuple[Reader, ...] = (formats.read_matrix, formats.read_labels, lambda p: read_predictions(p, 4, 6))
    table: tuple[Reader, ...] = (lambda p: list(table_rows(p)), lambda p: plain_texts(p, Reading()))
    unpacked: tuple[Reader, ...] = (
        lambda p: archive.extract(p, {"train.txt": ("train.txt",)}, p.parent / "out"),
        archive.probe,
        lambda p: list(archive.members(p, lambda name: True)),
    )
    dense = np.array([[0, 1, 0.5, 0, 0, 0], [0, 0, 0, 2, 0, 1], [1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 3, 0]], np.float32)
    result = {
        f"npz {form}": Form(
            "m.npz", _npz_matrix(dense, form), (*matrix, read_npz), lambda p: formats.read_matrix(p).toarray().tolist()
        )
        for form in ("csr", "csc", "coo", "bsr", "dia")
    }

    def content(path: Path) -> bytes | None:
        found = archive.extract(path, {"train.txt": ("train.txt",)}, path.parent / "out")
        return found["train.txt"].read_bytes() if found else b"1 2 3\n" * 50  # a name may be damaged

    topk = TopK.from_arrays(np.tile(np.arange(3), (4, 1)), np.tile([3.0, 2.0, 1.0], (4, 1)))
    boards = Path(__file__).resolve().parents[2] / "leaderboards"
    published_file = min((boards / "published").glob("*.toml"))
    record = min((boards / "records").glob("*.json"))
    return result | {
        "npz topk": Form("t.npz", _saved(topk), (*matrix, read_npz)),
        "npy": Form("m.npy", _npy(dense), matrix),
        "xmc one-file": Form("m.txt", b"3 5 6\n0,2 0:1.5 3:2\n1 4:0.25\n 1:3e-2 2:1\n", matrix),
        "xmc two-file": Form("m.txt", b"4 6\n0:1 2:0.5\n1:3\n\n5:1e3 0:2\n", matrix),
        "svmlight": Form("m.svm", b"1,2 1:0.5 3:2 # text\n0 2:1\n3 1:1 4:0.125\n", matrix),
        "predictions text": Form("p.txt", b"0:3.5 2:1\n1:2 3:1\n4:1\n0:1 5:0.5\n", (matrix[2],)),
        "predictions json": Form(
            "p.json", json.dumps([{"0": 1.5, "3": 1}, [1, 2], {"4": 2}, {}]).encode(), (matrix[2],)
        ),
        "filter": Form("f.txt", b"0 1\n1 2\n3 5\n", (lambda p: formats.read_filter(p, 4, 6),)),
        "csv": Form("t.csv", b'id,text,labels\n1,"a, b",x;y\n2,"c ""d""",z\n3,e,\n', table),
        "tsv": Form("t.tsv", "id\ttext\tlabels\n1\tä b\tx\n2\tc\ty\n".encode(), table),
        "jsonl": Form("t.jsonl", b'{"text": "a", "labels": ["x", "y"]}\n{"text": "b", "labels": []}\n', table),
        "json": Form("t.json", b'[{"text": "a", "labels": ["x"]}, {"text": "b", "labels": "y"}]', table),
        "parquet": Form("t.parquet", _parquet(), table),
        "lf json": Form(
            "lf.json",
            b'{"uid": "a", "title": "t", "content": "c", "target_ind": [0, 1], "target_rel": [1.0, 1.0]}\n',
            (lambda p: list(documents.read_lf_json(p, 6)),),
        ),
        "zip": Form("a.zip", _zip(), unpacked, content),
        "tar": Form("a.tar", _tar("w"), unpacked),
        "tar.gz": Form("a.tar.gz", _tar("w:gz"), unpacked, content),
        "record": Form("r.json", record.read_bytes(), (record_file.read,), lambda p: record_file.read(p).raw),
        "expected": Form("e.toml", (boards / "expected" / "fast.toml").read_bytes(), (expected.read,)),
        "published": Form(published_file.name, published_file.read_bytes(), (lambda p: published.load(p.parent),)),
        "tests.json": Form("tests.json", _first_tests(boards / "tests.json"), (Cache.read,)),
    }


def _first_tests(path: Path) -> bytes:
    """A cache of tests with the first entries alone."""
    raw = json.loads(path.read_bytes())
    return json.dumps({k: dict(list(v.items())[:3]) if isinstance(v, dict) else v for k, v in raw.items()}).encode()


def _npz_matrix(dense: np.ndarray, form: str) -> bytes:
    buffer = io.BytesIO()
    sp.save_npz(buffer, sp.csr_matrix(dense).asformat(form), compressed=False)
    return buffer.getvalue()


def _saved(topk: object) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        topk.save(path := Path(folder, "t.npz"))  # type: ignore[attr-defined]
        return path.read_bytes()


def _npy(dense: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, dense)
    return buffer.getvalue()


def _parquet() -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.table({"text": ["a", "b"], "labels": [["x"], ["y", "z"]]}), buffer)
    return buffer.getvalue()


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("train.txt", "1 2 3\n" * 50)
        file.writestr("other.txt", "x" * 100)
    return buffer.getvalue()


def _tar(mode: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as file:
        for name in ("train.txt", "other.txt"):
            facts = tarfile.TarInfo(name)
            facts.size = 300
            file.addfile(facts, io.BytesIO(b"1 2 3\n" * 50))
    return buffer.getvalue()


def mutated(dice: random.Random, valid: bytes) -> bytes:
    """A damaged copy: bytes changed, cut, repeated, moved; numbers at their limits; JSON values of other types.

    Checksums are not corrected: what a form's own structure needs is up to mutations that know it.
    """
    if valid[:1] in (b"{", b"[") and dice.random() < 0.6:
        try:
            return _mutated_json(dice, valid)
        except ValueError:
            pass
    data = bytearray(valid)
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        at = dice.randrange(len(data)) if data else 0
        kind = dice.randrange(7)
        if kind == 0 and data:
            data[at] ^= 1 << dice.randrange(8)
        elif kind == 1 and data:
            data[at] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, 10, 13, 34, 44, 58))
        elif kind == 2:
            del data[at : at + dice.choice((1, 4, 100, len(data)))]
        elif kind == 3:
            piece = data[at : at + dice.choice((1, 8, 64))]
            data[at:at] = piece * dice.choice((1, 3, 1000))
        elif kind == 4:
            data[at : at + dice.choice((4, 8))] = dice.choice((0, 1, 2**31 - 1, 2**31, 2**32 - 1)).to_bytes(
                8, "little"
            )[: dice.choice((4, 8))]
        elif kind == 5:
            _number(dice, data)
        else:
            data[at:at] = dice.choice(
                (b"\xff\xfe", b"\xef\xbb\xbf", b"\x00" * 512, b"[" * 100_000, b'"', b"\r\n", b"\x1b[31m")
            )
    return bytes(data)


def _number(dice: random.Random, data: bytearray) -> None:
    digits = [i for i, byte in enumerate(data[:4000]) if 48 <= byte <= 57]
    if digits:
        start = end = dice.choice(digits)
        while end < len(data) and 48 <= data[end] <= 57:
            end += 1
        data[start:end] = dice.choice(EDGES)


def _mutated_json(dice: random.Random, valid: bytes) -> bytes:
    """One value, somewhere in the tree, missing or of another type."""
    tree = json.loads(valid.split(b"\n")[0] if valid.count(b"\n{") else valid)
    place = tree
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            break
        key = dice.choice(keys)
        if isinstance(place[key], dict | list) and place[key] and dice.random() < 0.8:
            place = place[key]
            continue
        if dice.random() < 0.25:
            del place[key]
        else:
            place[key] = dice.choice(SWAPS)
        break
    return json.dumps(tree).encode("utf-8", "surrogatepass")


def outcome(form: Form, path: Path, expected: object = None) -> str:
    """ "" if every reader gives a value or an XmcError with a text; else what else happened.

    `expected`: what `form.checked` gives for the valid file.
    """
    from xmcbench.errors import XmcError

    if form.checked is not None and expected is not None:
        with suppress(Exception):  # what readers raise is looked at below
            if form.checked(path) != expected:
                return "another value is read in spite of the checksum"
    for reader in form.readers:
        try:
            reader(path)
        except XmcError as error:
            if not str(error).strip():
                return "an error without a text"
        except (Exception, RecursionError) as error:
            return f"{type(error).__name__}: {str(error)[:200]}"
    return ""


def attack(
    name: str, form: Form, seeds: list[int], mutate: Callable[[int], bytes], deadline: float
) -> tuple[int, list[str]]:
    """(files read, faults) of one form, one seed per file."""
    faults, position = [], 0
    while position < len(seeds) and time.monotonic() < deadline:
        batch = seeds[position : position + BATCH]
        with tempfile.TemporaryDirectory(prefix="attack-") as folder:
            report = Path(folder, "report")
            process = os.fork()
            if process == 0:
                _read_batch(form, batch, mutate, Path(folder), report)
            code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
            lines = [json.loads(line) for line in report.read_text().splitlines()]
        faults += [f"{name}, seed {seed}: {fault}" for seed, fault in zip(batch, lines, strict=False) if fault]
        position += len(lines)
        if len(lines) < len(batch):
            why = f"more than {SECONDS:g} s" if code == -signal.SIGALRM else f"the process ended with {code}"
            faults.append(f"{name}, seed {batch[len(lines)]}: {why}")
            position += 1
    return position, faults


def _read_batch(form: Form, batch: list[int], mutate: Callable[[int], bytes], folder: Path, report: Path) -> None:
    """In a child: one line per file in `report`; the file that ends the process has none."""
    path = folder / form.name
    path.write_bytes(form.valid)
    expected = None if form.checked is None else form.checked(path)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    try:
        with open(report, "w") as lines:
            for seed in batch:
                path.write_bytes(mutate(seed))
                signal.setitimer(signal.ITIMER_REAL, SECONDS)
                fault = outcome(form, path, expected)
                signal.setitimer(signal.ITIMER_REAL, 0)
                lines.write(json.dumps(fault) + "\n")
                lines.flush()
    finally:
        os._exit(0)


def quick_forms() -> dict[str, tuple[Form, Callable[[int], bytes]]]:
    """The forms of the quick tests, with mutations that know their structure, of which those try a few."""
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from tests.data import mutating as quick

    return {
        f"quick {name}": (Form(form.name, quick.valid(name), (form.read,)), partial(_quick, name))
        for name, form in quick.FORMS.items()
    }


def _quick(name: str, seed: int) -> bytes:
    from tests.data.mutating import mutated as changed

    return changed(seed, name)


def mutators(own_forms: Mapping[str, Form]) -> dict[str, Callable[[int], bytes]]:
    """Form → seed → damaged file."""
    return {
        name: lambda seed, name=name: mutated(random.Random(f"{name} {seed}"), own_forms[name].valid)
        for name in own_forms
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("forms", nargs="*", metavar="FORM")
    parser.add_argument("--files", type=int, default=2000, help="of all forms together")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    began, total, faults = time.monotonic(), 0, []
    warnings.simplefilter("ignore")
    own_forms, quick = forms(), quick_forms()
    all_forms = {**own_forms, **{name: form for name, (form, _) in quick.items()}}
    names = asked.forms or list(all_forms)
    with tempfile.TemporaryDirectory() as folder:
        for name in names:  # valid files are read, and their kernels are loaded once for all children
            path = Path(folder, all_forms[name].name)
            path.write_bytes(all_forms[name].valid)
            if fault := outcome(all_forms[name], path):
                faults.append(f"{name}, valid: {fault}")
            path.unlink()
    mutate = {**mutators(own_forms), **{name: change for name, (_, change) in quick.items()}}
    for position, name in enumerate(names):
        wanted = -(-(asked.files - total) // (len(names) - position))
        first = asked.seed * 1_000_000
        now = time.monotonic()
        deadline = now + (asked.seconds - (now - began)) / (len(names) - position)
        done, found = attack(name, all_forms[name], list(range(first, first + wanted)), mutate[name], deadline)
        total += done
        faults += found
    print(faults_shown(faults), end="")
    print(f"mutations: {total} files, {time.monotonic() - began:.0f} s, {len(faults)} faults (seed {asked.seed})")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
