"""The results folder: append-only records, with predictions and per-row hits beside them.

DIR/records/RUN_ID.json      written last, so a record's files are always there
DIR/predictions/RUN_ID.npz   TopK, before the filter is applied
DIR/rows/RUN_ID.npz          per-row hits and weights, for paired tests
DIR/work/FIT_HASH/           checkpoints and the fitted model of a run under way
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmcbench.errors import DataError, UsageError, unknown
from xmcbench.files import TEMPORARY, read_npz, sha256_of, write_npz
from xmcbench.results import record as records

if TYPE_CHECKING:
    from xmcbench.results.record import Record
    from xmcbench.topk import TopK


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
        records.write(self.folder / "records" / f"{run_id}.json", record)
        return record

    def records(self, broken: list[str] | None = None) -> list[Record]:
        """All records, oldest first. A damaged file is left out and, where a list is given, reported in it."""
        found: list[Record] = []
        for path in self._paths():
            try:
                found.append(records.read(path))
            except DataError as error:
                if broken is not None:
                    broken.append(str(error))
        return found

    def done(self, spec_hash: str) -> Record | None:
        """The newest record of that spec with status ok, or None."""
        same = [r for r in self.records() if r["spec_hash"] == spec_hash and r["status"] == "ok"]
        return same[-1] if same else None

    def find(self, text: str) -> Record:
        """A record by file path, run id (or its unambiguous part), or the newest ok one of a method's name.

        Raises
        ------
        UsageError : nothing or more than one thing fits.
        """
        if text.endswith(".json") and Path(text).is_file():
            return records.read(Path(text))
        everything = self.records()
        by_id = [r for r in everything if text in r["run_id"] and re.search(r"\d", text)]
        if len(by_id) == 1:
            return by_id[0]
        by_name = [r for r in everything if text in (r["method"]["name"], r["method"]["label"]) and r["status"] == "ok"]
        if by_name:
            return by_name[-1]
        if by_id:
            raise UsageError(f"{text!r} fits {len(by_id)} runs", "Give more of the run id: `xmcbench ls runs`.")
        names = {r["run_id"] for r in everything} | {r["method"]["name"] for r in everything}
        raise unknown(f"run in {self.folder}", text, names)

    def predictions(self, record: Mapping[str, Any]) -> TopK:
        """The predictions kept beside a record, before its filter; checked against its hash."""
        from xmcbench.topk import TopK

        return TopK.load(self._kept(record, "predictions"))

    def rows(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """The per-row arrays kept beside a record, checked against its hash."""
        return read_npz(self._kept(record, "rows"))

    def _kept(self, record: Mapping[str, Any], kind: str) -> Path:
        """Where a record's predictions or rows lie.

        Raises
        ------
        DataError : the file is gone or not the one the record was written with.
        """
        entry = record[kind]
        if entry is None:
            raise DataError(f"{record['run_id']}: keeps no {kind}")
        path: Path = self.folder / entry["file"]
        if not path.is_file() or sha256_of(path) != entry["sha256"]:
            raise DataError(f"{path}: missing, or not the file the record names", "Run it again with --again.")
        return path

    def work(self, fit_hash: str) -> Path:
        """Where a run keeps what must survive a kill."""
        return self.folder / "work" / fit_hash[:24]

    def _paths(self) -> Iterator[Path]:
        folder = self.folder / "records"
        if folder.is_dir():
            yield from sorted(p for p in folder.glob("*.json") if not p.name.startswith(TEMPORARY))
