"""The results folder: append-only records, with predictions and per-row hits beside them.

DIR/records/RUN_ID.json      written last, so a record's files are always there
DIR/predictions/RUN_ID.npz   TopK, before the filter is applied
DIR/rows/RUN_ID.npz          per-row hits and weights, for paired tests
DIR/board/                   the part of them that leaderboards need: `xmcbench.results.board_files`
DIR/reports/FIT_HASH/        what a method tells of its fitted model, where it has something to tell
DIR/work/FIT_HASH/           checkpoints and the fitted model of a run under way
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from xmcbench.errors import DataError, UsageError, unknown
from xmcbench.files import TEMPORARY, read_npz, sha256_of, write_npz
from xmcbench.results import board_files as board
from xmcbench.results import record as records

if TYPE_CHECKING:
    from xmcbench.results.record import Record
    from xmcbench.topk import TopK

PLAIN_NAME = r"[^./\\:\x00][^/\\:\x00]*\.npz"  # leads nowhere else, on any system, and is not hidden
AnyRecord = TypeVar("AnyRecord", bound=Mapping[str, Any])


class NotKept(DataError):
    """A file that a record names isn't there, or it names none: a slim copy, a run that failed, a file removed."""


class Store:
    """Reads and adds records of one results folder; two processes may use the same one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def new_id(self, method: str, dataset: str, started: datetime) -> str:
        """A name no other run has, that sorts by time and can be a file name anywhere."""
        words = re.sub(r"[^a-z0-9.-]+", "-", f"{method}-{dataset}".lower()).strip("-.")[:60]
        return f"{started.astimezone(UTC):%Y%m%dT%H%M%S}-{words}-{uuid.uuid4().hex[:8]}"

    def add(self, record: Record, topk: TopK | None = None, rows: Mapping[str, Any] | None = None) -> Record:
        """Write predictions and rows, then the record with their hashes; returns the record as written."""
        records.check(record)
        run_id = record["run_id"]
        if topk is not None:
            path = self.folder / "predictions" / f"{run_id}.npz"
            topk.save(path)
            record["predictions"] = {"file": f"predictions/{run_id}.npz", "sha256": sha256_of(path)}
        if rows is not None:
            path = self.folder / "rows" / f"{run_id}.npz"
            write_npz(path, rows)
            record["rows"] = {"file": f"rows/{run_id}.npz", "sha256": sha256_of(path)}
            if record["schema"] >= records.SEALED:
                record["board"] = self._add_board(run_id, rows)
        records.write(self.folder / "records" / f"{run_id}.json", record)
        return record

    def _add_board(self, run_id: str, rows: Mapping[str, Any]) -> dict[str, Any]:
        own, shared = board.split(rows)
        path = self.folder / "board" / f"{run_id}.npz"
        write_npz(path, own)
        digest = board.hash_of(shared)
        beside = self.folder / "board" / f"data-{digest[:16]}.npz"
        if not beside.is_file():
            write_npz(beside, shared)
        return {"file": f"board/{path.name}", "sha256": sha256_of(path), "data": beside.name, "data_sha256": digest}

    def read(self, path: Path) -> Record:
        """One record of this folder's.

        Raises
        ------
        DataError : as `xmcbench.results.record.read`; the file has another name than its run's, so that two could claim
            to be one run.
        """
        return in_its_file(records.read(path), path)

    def records(self, broken: list[str] | None = None) -> list[Record]:
        """All records, oldest first. A damaged file is left out and, where a list is given, reported in it."""
        found: list[Record] = []
        for path in self.paths():
            try:
                found.append(self.read(path))
            except DataError as error:
                if broken is not None:
                    broken.append(str(error))
        return found

    def done(self, spec_hash: str) -> Record | None:
        """The newest record of that spec with status ok that none supersedes, or None."""
        same = [r for r in standing(self.records()) if r["spec_hash"] == spec_hash]
        return same[-1] if same else None

    def find(self, text: str, dataset: str | None = None) -> Record:
        """The record that `text` means: the newest of `fitting`.

        Raises
        ------
        UsageError, DataError : as `fitting`.
        """
        return self.fitting(text, self.records(), dataset)[-1]

    def find_pair(
        self, a: str, b: str, dataset: str | None = None, among: Sequence[Record] | None = None
    ) -> tuple[Record, Record]:
        """The newest run that `a` means on data of which `b` means a run too, and the newest of those.

        Where the two share no data, the newest of each: `compare` then says that nothing can be judged.

        Parameters
        ----------
        dataset : only runs on the data set of this name. among : the store's records, where they are read already.

        Raises
        ------
        UsageError, DataError : as `fitting`.
        """
        everything = self.records() if among is None else among
        of_a, of_b = self.fitting(a, everything, dataset), self.fitting(b, everything, dataset)
        newest = {r["dataset"]["content_hash"]: r for r in of_b}
        for first in reversed(of_a):
            if (second := newest.get(first["dataset"]["content_hash"])) is not None:
                return first, second
        return of_a[-1], of_b[-1]

    def fitting(self, text: str, among: Sequence[Record], dataset: str | None = None) -> list[Record]:
        """The records that `text` may mean, oldest first: one, or all standing runs of a method's name.

        Tried in this order: run id; record file; label ("elias[beam=10]"); method name; a part of a run id that no
        other has. What is a label or a name is never taken for a part of a run id. A run stands when it ended ok and
        no run that ended ok supersedes it; only a run id, its part or a file gives another.

        Parameters
        ----------
        among : the store's records. dataset : only runs on the data set of this name.

        Raises
        ------
        UsageError : nothing fits, a part fits several runs, or the run is on another data set.
        DataError : the record file is damaged.
        """
        one = [r for r in among if r["run_id"] == text]
        if not one and is_record_file(text):
            one = [records.read(Path(text))]
        if one:
            if dataset not in (None, one[0]["dataset"]["name"]):
                raise UsageError(f"run {one[0]['run_id']} is on {one[0]['dataset']['name']}, not on {dataset}")
            return one
        here = [r for r in among if dataset in (None, r["dataset"]["name"])]
        ended_ok = [r for r in standing(among) if dataset in (None, r["dataset"]["name"])]
        where = f"{self.folder} on {dataset}" if dataset else str(self.folder)
        for key in ("label", "name"):
            if fits := [r for r in ended_ok if r["method"][key] == text]:
                return fits
        if named := [r for r in here if text in (r["method"]["label"], r["method"]["name"])]:
            last = f"The newest, {named[-1]['run_id']}, has status {named[-1]['status']}."
            raise UsageError(f"no run of {text!r} in {where} ended ok", last)
        part = [r for r in here if text and text in r["run_id"]]
        if len(part) > 1:
            raise UsageError(f"{text!r} fits {len(part)} runs", "Give more of the run id: `xmcbench ls runs`.")
        if not part:
            raise unknown(f"run in {where}:", text, {r["run_id"] for r in here} | {r["method"]["name"] for r in here})
        return part

    def predictions(self, record: Mapping[str, Any]) -> TopK:
        """The predictions kept beside a record, before its filter; checked against its hash."""
        from xmcbench.topk import TopK

        return TopK.load(self.kept(record, "predictions"))

    def rows(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """The per-row arrays kept beside a record, checked against its hash."""
        return read_npz(self.kept(record, "rows"))

    def board(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """The per-row arrays for leaderboards, both files' together, checked against their hashes.

        Raises
        ------
        NotKept : the record has none (schema 1, or a run that didn't end ok), or a file is gone.
        DataError : a file is another one.
        """
        arrays = read_npz(self.kept(record, "board"))
        path = self.place(record, "board", "data")
        if not path.is_file():
            raise NotKept(f"{path}: missing", "Get it again, or run again.")
        shared = read_npz(path)
        if board.hash_of(shared) != record["board"].get("data_sha256"):
            raise DataError(f"{path}: not the file the record {record['run_id']} names", "Get it again, or run again.")
        return {**arrays, **shared}

    def kept(self, record: Mapping[str, Any], kind: str) -> Path:
        """Where a record's predictions, rows or board file lie, checked against its hash.

        Raises
        ------
        NotKept, DataError : as `place`; the file is gone, or not the one the record was written with.
        """
        path = self.place(record, kind)
        if not path.is_file():
            raise NotKept(f"{path}: missing", "Get it again, or run again with --again.")
        if sha256_of(path) != record[kind].get("sha256"):
            raise DataError(f"{path}: not the file the record names", "Get it again, or run again with --again.")
        return path

    def place(self, record: Mapping[str, Any], kind: str, field: str = "file") -> Path:
        """Where the file belongs that a record names, whether it is there or not.

        Parameters
        ----------
        kind : predictions, rows or board, which are folders too. field : "data" for the file that records share.

        Raises
        ------
        NotKept : the record keeps none.
        DataError : it names what is no plain file of that folder: no record written here does.
        """
        entry = record.get(kind)
        if entry is None:
            raise NotKept(f"{record['run_id']}: keeps no {kind}")
        named = entry.get(field) if isinstance(entry, dict) else None
        folder = "" if field == "data" else f"{kind}/"
        if not re.fullmatch(folder + PLAIN_NAME, str(named)):
            raise DataError(
                f"{record['run_id']}: names {named!r}, which is no file of {kind}/", "No record written here does."
            )
        return self.folder / kind / str(named).removeprefix(folder)

    def work(self, fit_hash: str) -> Path:
        """Where a run keeps what must survive a kill."""
        return self.folder / "work" / fit_hash[:24]

    def paths(self) -> Iterator[Path]:
        """All record files, oldest first, whole or damaged."""
        folder = self.folder / "records"
        if folder.is_dir():
            yield from sorted(p for p in folder.glob("*.json") if not p.name.startswith(TEMPORARY))


def is_record_file(text: str) -> bool:
    """Whether `text` is the path of a record file rather than a name."""
    return text.endswith(".json") and Path(text).is_file()


def in_its_file(record: Record, path: Path) -> Record:
    """The record, if its file has the name of its run id, which can't lead elsewhere then.

    Raises
    ------
    DataError : it has another.
    """
    if path.name != f"{record['run_id']}.json":
        raise DataError(f"{path}: calls itself {record['run_id']!r}", "A record's file has the name of its run id.")
    return record


def standing(everything: Sequence[AnyRecord]) -> list[AnyRecord]:
    """Those that ended ok, less those that one of them supersedes.

    A run supersedes an earlier one of the same experiment alone, as all that are written here do: nobody's record takes
    another method's, or another data set's, off a leaderboard.
    """
    good = [r for r in everything if r["status"] == "ok"]
    replaced = {(r["supersedes"], *_experiment(r)) for r in good if r["supersedes"] not in (None, r["run_id"])}
    return [r for r in good if (r["run_id"], *_experiment(r)) not in replaced]


def _experiment(record: Mapping[str, Any]) -> tuple[str, str, str]:
    return record["spec_hash"], record["method"]["name"], record["dataset"]["content_hash"]
