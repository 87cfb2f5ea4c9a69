"""The results folder: append-only records with their predictions and per-row numbers.

DIR/records/RUN_ID.json      written last, so that the files of a record always exist
DIR/predictions/RUN_ID.npz   TopK, before the filter is applied
DIR/rows/RUN_ID.npz          per-row hits and weights, for paired tests
DIR/board/                   the per-row numbers that leaderboards need: `xmcbench.records.row_values`
DIR/reports/FIT_HASH/        the method's report on its fitted model, if it writes one
DIR/models/RUN_ID/           the fitted model of a run with --keep-models
DIR/work/FIT_HASH/           checkpoints and the model of an unfinished run
"""

from __future__ import annotations

import re
import shlex
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from numpy.typing import NDArray

from xmcbench.errors import FEW, DataError, UsageError, unknown
from xmcbench.escaping import file_name
from xmcbench.files import TEMPORARY, sha256_of, write_npz
from xmcbench.npz_files import read_npz
from xmcbench.records import leftovers, record_file
from xmcbench.records.record import SEALED, BoardRef, FileRef, Record
from xmcbench.records.row_values import PerRow, hash_of, split_for_board

if TYPE_CHECKING:
    from xmcbench.topk import TopK

PLAIN_NAME = r"[^./\\:\x00][^/\\:\x00]*\.npz"  # can't lead out of its folder on any system, and is not hidden
Kind = Literal["predictions", "rows", "board"]


class NotKept(DataError):
    """The record has no such file, or the file is missing: a slim copy, a failed run, a deleted file."""


class Store:
    """Reads and adds records of one results folder; several processes may use the same folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._shared: dict[tuple[Path, str | None], PerRow] = {}  # all runs on a data set ask for the same arrays

    def new_id(self, method: str, dataset: str, started: datetime) -> str:
        """A unique name that sorts by time and is a valid file name on every system."""
        words = file_name(f"{method}-{dataset}", ".-")[:60]
        return f"{started.astimezone(UTC):%Y%m%dT%H%M%S}-{words}-{uuid.uuid4().hex[:8]}"

    def add(self, record: Record, topk: TopK | None = None, rows: Mapping[str, NDArray[Any]] | None = None) -> Record:
        """Write predictions and rows, then the record with their hashes; returns the record as written.

        What killed processes left in the folder is removed first.
        """
        record_file.check(record)
        leftovers.sweep(self.folder)
        with leftovers.adding(self.folder):
            return self._add(record, topk, rows)

    def _add(self, record: Record, topk: TopK | None, rows: Mapping[str, NDArray[Any]] | None) -> Record:
        run_id = record.run_id
        if topk is not None:
            path = self.folder / "predictions" / f"{run_id}.npz"
            topk.save(path)
            record = record_file.changed(record, predictions=_reference(path))
        if rows is not None:
            board = self._add_board(run_id, rows) if record.schema >= SEALED else None
            path = self.folder / "rows" / f"{run_id}.npz"
            write_npz(path, rows)
            record = record_file.changed(record, rows=_reference(path), board=board)
        return record_file.write(self.folder / "records" / f"{run_id}.json", record)

    def _add_board(self, run_id: str, rows: Mapping[str, NDArray[Any]]) -> BoardRef:
        numerators, shared = split_for_board(rows)
        path = self.folder / "board" / f"{run_id}.npz"
        write_npz(path, numerators)
        digest = hash_of(shared)
        data = self.folder / "board" / f"data-{digest[:16]}.npz"
        if not data.is_file():
            write_npz(data, shared)
        reference = _reference(path)
        return BoardRef(file=reference.file, sha256=reference.sha256, data=data.name, data_sha256=digest)

    def read(self, path: Path) -> Record:
        """One record of this folder.

        Raises DataError: as `record_file.read`; or as `in_its_file`, so that no two files are of one run.
        """
        return in_its_file(record_file.read(path), path)

    def records(self, broken: list[str] | None = None) -> list[Record]:
        """All records, oldest first. Damaged files are left out; their errors are appended to `broken`."""
        records: list[Record] = []
        for path in self.paths():
            try:
                records.append(self.read(path))
            except DataError as error:
                if broken is not None:
                    broken.append(str(error))
        return records

    def done(self, spec_hash: str) -> Record | None:
        """The newest standing record of the spec, or None."""
        matching = [r for r in standing(self.records()) if r.spec_hash == spec_hash]
        return matching[-1] if matching else None

    def find(self, text: str, dataset: str | None = None) -> Record:
        """The newest record of `fitting`, on present data if there is one.

        Raises UsageError or DataError: as `fitting`.
        """
        return self.fitting(text, self.records(), dataset)[-1]

    def find_pair(
        self, a: str, b: str, dataset: str | None = None, among: Sequence[Record] | None = None
    ) -> tuple[Record, Record]:
        """The newest run of `a` on data that has a run of `b`, and the newest run of `b` on these data; present data
        come before earlier revisions of an import.

        If `a` and `b` have no data in common, the newest run of each; `compare` then reports that nothing can be
        judged.

        Parameters
        ----------
        dataset : only runs on the data set of this name. among : the store's records, if the caller has read them.

        Raises UsageError or DataError: as `fitting`.
        """
        records = self.records() if among is None else among
        runs_a, runs_b = self.fitting(a, records, dataset), self.fitting(b, records, dataset)
        newest = {r.dataset.content_hash: r for r in runs_b}
        for first in reversed(runs_a):
            if (second := newest.get(first.dataset.content_hash)) is not None:
                return first, second
        return runs_a[-1], runs_b[-1]

    def fitting(self, text: str, among: Sequence[Record], dataset: str | None = None) -> list[Record]:
        """The records that `text` matches, oldest first: a single record, or all standing runs of a label or method.

        `text` is tried as: run id; record file; label ("elias[beam=10]"); method name; unique part of a run id. A label
        or method name is never read as part of a run id. Labels and method names match only standing runs
        (see `standing`); a run id, a part of one, or a file matches any run. Runs on an import that has another
        revision now come before all others, so that the last run is on the present data if there is one.

        Parameters
        ----------
        among : the store's records. dataset : only runs on the data set of this name,
            as a user types it.

        Raises
        ------
        UsageError : nothing matches, a part matches several run ids, or the run is on another data set.
        DataError : the record file is damaged.
        """
        if dataset is not None:
            from xmcbench.data.inventory import name_in_records

            dataset = name_in_records(dataset)
        single = [r for r in among if r.run_id == text]
        if not single and is_record_file(text):
            single = [record_file.read(Path(text))]
        if single:
            if dataset not in (None, single[0].dataset.name):
                hint = f"Leave out --dataset, or give --dataset {single[0].dataset.name}."
                raise UsageError(f"run {single[0].run_id} is on {single[0].dataset.name}, not on {dataset}", hint)
            return single
        on_dataset = [r for r in among if dataset in (None, r.dataset.name)]
        ended_ok = [r for r in standing(among) if dataset in (None, r.dataset.name)]
        where = f"{self.folder} on {dataset}" if dataset else str(self.folder)
        by_name = [r for r in ended_ok if r.method.label == text] or [r for r in ended_ok if r.method.name == text]
        if by_name:
            return _replaced_first(by_name)
        if others := [r for r in on_dataset if text in (r.method.label, r.method.name)]:
            hint = f"The newest, {others[-1].run_id}, has status {others[-1].status}."
            raise UsageError(f"no run of {text!r} in {where} ended ok", hint)
        by_part = [r for r in on_dataset if text and text in r.run_id]
        if len(by_part) > 1:
            hint = f"Give more of the run id; `{self._listed_by}` lists all of them."
            raise UsageError(f"{text!r} matches {len(by_part)} runs", hint)
        if not by_part:
            if not on_dataset:
                hint = "`xmcbench run METHOD` adds runs; --results names another folder."
                if among:  # a misspelt data set, perhaps
                    names = sorted({r.dataset.name for r in among})
                    hint = f"There are runs on {', '.join(names[:FEW])}{', …' if len(names) > FEW else ''}. {hint}"
                raise UsageError(f"no runs in {where}, so none is {text!r}", hint)
            valid = {r.method.name for r in on_dataset}
            if not text.isidentifier():  # as a method's name is, whose hint would be lost among the ids
                valid |= {r.run_id for r in on_dataset}
            raise unknown(f"run in {where}:", text, valid, self._listed_by)
        return by_part

    @property
    def _listed_by(self) -> str:
        return f"xmcbench ls runs --results {shlex.quote(str(self.folder))}"

    def predictions(self, record: Record) -> TopK:
        """The stored predictions of a record, before the filter is applied; checked against the hash on record."""
        from xmcbench.topk import TopK

        return TopK.load(self.kept(record, "predictions"))

    def rows(self, record: Record) -> PerRow:
        """The per-row arrays of a record, checked against the hash on record."""
        return read_npz(self.kept(record, "rows"))

    def board(self, record: Record) -> PerRow:
        """The per-row arrays for leaderboards, from both files, checked against their hashes.

        Raises
        ------
        NotKept : the record has none (schema 1, or a run that didn't end ok), or a file is missing.
        DataError : a file doesn't match its hash.
        """
        arrays = read_npz(self.kept(record, "board"))
        return {**arrays, **self.shared(self.shared_place(record), getattr(record.board, "data_sha256", None))}

    def shared(self, path: Path, sha256: str | None) -> PerRow:
        """The arrays of a board file that several runs share, checked against the hash of the arrays.

        Raises
        ------
        NotKept : the file is missing.
        DataError : it doesn't match the hash.
        """
        if not path.is_file():
            raise NotKept(f"{path}: missing", "Copy it again, or run again.")
        if (path, sha256) not in self._shared:
            arrays = read_npz(path)
            if hash_of(arrays) != sha256:
                raise DataError(f"{path}: not the file of the record", "Copy it again, or run again.")
            self._shared[path, sha256] = arrays
        return self._shared[path, sha256]

    def kept(self, record: Record, kind: Kind) -> Path:
        """Path of a record's predictions, rows or board file, checked against the hash on record.

        Raises NotKept or DataError: as `place`; the file is missing, or doesn't match its hash.
        """
        path = self.place(record, kind)
        if not path.is_file():
            raise NotKept(f"{path}: missing", "Copy it again, or run again with --again.")
        if sha256_of(path) != getattr(record, kind).sha256:
            raise DataError(f"{path}: not the file of the record", "Copy it again, or run again with --again.")
        return path

    def place(self, record: Record, kind: Kind) -> Path:
        """Path of a record's predictions, rows or board file, which may be missing.

        Raises
        ------
        NotKept : the record has no such file.
        DataError : the record names a path outside the folder of this kind; `add` never writes such a record.
        """
        reference: FileRef | None = getattr(record, kind)
        if reference is None:
            raise NotKept(f"{record.run_id}: has no {kind} file")
        return self._inside(record, kind, reference.file)

    def shared_place(self, record: Record) -> Path:
        """Path of the board file that the record shares with others on the same data.

        Raises NotKept or DataError: as `place`.
        """
        if record.board is None:
            raise NotKept(f"{record.run_id}: has no board file")
        return self._inside(record, "board", f"board/{record.board.data}")

    def _inside(self, record: Record, kind: Kind, name: str) -> Path:
        if not re.fullmatch(f"{kind}/{PLAIN_NAME}", name):
            fault = f"{record.run_id}: names {name!r}, which is no file in {kind}/"
            raise DataError(fault, "xmcbench writes no such record.")
        return self.folder / name

    def model(self, run_id: str) -> Path:
        """The folder of a run's model, see `xmcbench.models.folder`; it exists if the model was kept."""
        return self.folder / "models" / run_id

    def work(self, fit_hash: str) -> Path:
        """The work folder of a fit."""
        return self.folder / "work" / fit_hash[:24]

    def paths(self) -> Iterator[Path]:
        """All record files, oldest first, including damaged ones."""
        folder = self.folder / "records"
        if folder.is_dir():
            yield from sorted(p for p in folder.glob("*.json") if not p.name.startswith(TEMPORARY))


def _reference(path: Path) -> FileRef:
    """Relative path and hash of a file for its record."""
    return FileRef(file=f"{path.parent.name}/{path.name}", sha256=sha256_of(path))


def is_record_file(text: str) -> bool:
    """Whether `text` is the path of a record file rather than a name."""
    return text.endswith(".json") and Path(text).is_file()


def in_its_file(record: Record, path: Path) -> Record:
    """The record, checked to have the run id of its file name; the run id therefore can't lead out of a folder.

    Raises DataError: the file has another name.
    """
    if path.name != f"{record.run_id}.json":
        raise DataError(f"{path}: its run id is {record.run_id!r}", "A record's file must be named after its run id.")
    return record


def standing(everything: Sequence[Record]) -> list[Record]:
    """The standing records: status ok, and not superseded by another record with status ok.

    A record can supersede only records of the same experiment, so that a forged record can't remove another method or
    another data set from a leaderboard.
    """
    ended_ok = [r for r in everything if r.status == "ok"]
    superseded = {(r.supersedes, *_experiment(r)) for r in ended_ok if r.supersedes not in (None, r.run_id)}
    return [r for r in ended_ok if (r.run_id, *_experiment(r)) not in superseded]


def _replaced_first(records: list[Record]) -> list[Record]:
    """The records on an earlier revision of an import, then the others, both in the given order."""
    from xmcbench.data.imported import replaced_by

    revisions = {(r.dataset.name, r.dataset.revision) for r in records}
    replaced = {revision for revision in revisions if replaced_by(*revision)}
    return sorted(records, key=lambda r: (r.dataset.name, r.dataset.revision) not in replaced)


def _experiment(record: Record) -> tuple[str, str, str]:
    return record.spec_hash, record.method.name, record.dataset.content_hash
