"""The folder of a model: written after a run, copied by an export, loaded without running code from it.

FOLDER/   model.json  README.md  method/…  labels.json  names.json  vectorizer/…

`method/` has what the method's `save` wrote, `labels.json` the list of label texts in the order of ids, `names.json`
that of their short names, and `vectorizer/` the fitted tf-idf of the view. The last three are there if the data set has
them. RESULTS/models/RUN_ID is the model of a run that was kept.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from xmcbench import __version__, limits
from xmcbench.data.imported import text_column_of
from xmcbench.data.spec import Naming
from xmcbench.data.vectorizer import Vectorizer
from xmcbench.errors import DataError, UsageError, XmcError, cannot_write, explain
from xmcbench.files import atomic, replaced_folder, sha256_of
from xmcbench.inputs import read_file, typed_json
from xmcbench.models.card import AGAIN, CARD, README, ModelCard, read_card, readme, sealed
from xmcbench.models.model import Model
from xmcbench.records.store import Store, is_record_file
from xmcbench.runs import registry, work_folder
from xmcbench.runs.machine import pick_device
from xmcbench.runs.provenance import versions
from xmcbench.runs.stages import prediction_depth

if TYPE_CHECKING:
    from xmcbench.data.spec import Dataset
    from xmcbench.method import Method
    from xmcbench.records.record import Record
    from xmcbench.runs.spec import RunSpec

METHOD, LABELS, NAMES, VECTORIZER = "method", "labels.json", "names.json", "vectorizer"


def keep(spec: RunSpec, record: Record, dataset: Dataset, store: Store, *, is_locked: bool = False) -> Path:
    """Write the fitted model of a run that has just ended to RESULTS/models/RUN_ID; returns that folder.

    A model that is there already stays if it is whole and of this run; otherwise it is replaced. `is_locked`: this
    process holds the lock of the run's work folder.

    Raises
    ------
    UsageError : the method is a class in a file, which no model can name.
    DataError : the model in the run's work folder is missing or damaged, or the folder can't be written.
    """
    if record.code.method.sha256 is not None:
        hint = "Make it a distribution first: `xmcbench new method NAME`."
        raise UsageError(f"{record.method.name}: the model of a class in a file can't be kept", hint)
    target = store.model(record.run_id)
    if has_model(record, store):
        return target
    device = record.environment.device or "cpu"
    chosen = {name: record.method.parameters[name] for name, _ in spec.grid or ()}
    work = store.work(spec.fit_hash(dataset.content_hash, device))
    identity = spec.with_chosen(chosen).identity(dataset.content_hash, device)
    with work_folder.model_of(work, identity, is_locked=is_locked) as model, replaced_folder(target) as folder:
        _link(model, folder / METHOD)
        for name, texts in ((LABELS, dataset.label_texts), (NAMES, dataset.label_names)):
            if texts is not None:
                _write(folder / name, json.dumps(list(texts)).encode())
        if dataset.vectorizer is not None:
            (folder / VECTORIZER).mkdir()
            dataset.vectorizer.save(folder / VECTORIZER)
        card = ModelCard(
            run_id=record.run_id,
            created=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            method=record.method,
            query={name: record.method.parameters[name] for name in spec.query},
            seed=record.seed,
            dataset=record.dataset,
            available=tuple(sorted(dataset.facts().available)),
            depth=prediction_depth(record.k, dataset.test_filter, dataset.n_labels),
            metrics=record.metrics,
            libraries={"python": platform.python_version(), "xmcbench": __version__, **versions()},
            files={},
            text_column=text_column_of(dataset.name, dataset.revision),
        )
        reads_texts = dataset.vectorizer is not None or "features" not in card.available
        _write(folder / README, readme(card, reads_texts=reads_texts))
        files = work_folder.hashes(folder)
        sizes = {name: (folder / name).stat().st_size for name, kind in files.items() if kind != "folder"}
        _write(folder / CARD, sealed(msgspec.structs.replace(card, files=files, sizes=sizes)))
    return target


def has_model(record: Record, store: Store) -> bool:
    """Whether the model of a run was kept, and is whole; a warning says what is wrong with one that is not."""
    folder = store.model(record.run_id)
    if not os.path.lexists(folder):
        return False
    try:
        check(of_run(record, store))
    except DataError as error:
        warnings.warn(f"{error.message}: the model is made again", stacklevel=2)
        return False
    return True


def _write(path: Path, content: bytes) -> None:
    with atomic(path) as file:
        file.write(content)


def _link(source: Path, target: Path) -> None:
    """A second folder with the same files, which share their space where the file system allows."""

    def link(a: str, b: str) -> None:
        try:
            os.link(a, b)
        except OSError:
            shutil.copyfile(a, b)

    try:
        shutil.copytree(source, target, copy_function=link)
    except (OSError, shutil.Error) as error:
        raise cannot_write(target, error if isinstance(error, OSError) else OSError(str(error))) from error


def export(source: Path, to: Path, *, replace: bool = False) -> None:
    """Copy a model's folder, after its hashes were checked, as a whole or not at all.

    Raises
    ------
    UsageError : `to` is a file, inside of `source`, or a folder that is not empty without `replace`, or of something
        else than a model.
    DataError : the model is damaged, or `to` can't be written.
    """
    check(source)
    if os.path.lexists(to) and not to.is_dir():
        raise UsageError(f"{to} is a file", "Give --to a folder.")
    if source.resolve() in to.resolve().parents:
        raise UsageError(f"{to} is inside of the model {source}", "Give --to a folder elsewhere.")
    if to.is_dir() and any(to.iterdir()):
        if not (to / CARD).is_file():
            raise UsageError(f"{to} is not empty, and no model", "Give --to a new folder.")
        if not replace:
            raise UsageError(f"{to} has a model already", "Give another folder, or --replace.")
    with replaced_folder(to) as folder:
        try:
            shutil.copytree(source, folder, dirs_exist_ok=True, copy_function=shutil.copyfile)
        except (OSError, shutil.Error) as error:
            raise cannot_write(to, error if isinstance(error, OSError) else OSError(str(error))) from error


def check(folder: Path) -> ModelCard:
    """The card of a model whose files all have their sizes and hashes; DataError names those that don't."""
    card = read_card(folder)
    for name, size in card.sizes.items():  # first, since a file of terabytes would be hashed for hours
        if (path := folder / name).is_file() and (found := path.stat().st_size) != size:
            raise DataError(
                f"{folder}: the model is damaged ({name}: changed, {found:,} bytes instead of {size:,})", AGAIN
            )
    if fault := work_folder.changed(folder, {**card.files, CARD: sha256_of(folder / CARD)}):
        raise DataError(f"{folder}: the model is damaged ({fault})", AGAIN)
    return card


def load_model(folder: str | Path, *, device: str = "auto") -> Model:
    """Load a model from its folder; no code of the folder runs, and the method is found by its name.

    Raises
    ------
    DataError : no model, damaged, or of another version of the format or of the method.
    UsageError : its method is not installed.
    XmcError : the method or a package that it needs can't be imported.

    Examples
    --------
    >>> import json
    >>> from pathlib import Path
    >>> import xmcbench as xb
    >>> rows = [{"text": f"ticket {i} {word}", "labels": [word]} for i in range(20) for word in ("phone", "mail")]
    >>> _ = Path("tickets.jsonl").write_text("\\n".join(map(json.dumps, rows)))
    >>> _ = xb.import_data("tickets", "tickets.jsonl", replace=True)
    >>> run = xb.run("tree", dataset="tickets", keep_models=True, progress=False)
    >>> model = xb.load_model(f"results/models/{run.records[0].run_id}")
    >>> [row[0].name for row in model.predict(["my phone", "a mail"], k=1)]
    ['phone', 'mail']
    """
    folder = Path(folder)
    card = check(folder)
    source = _method_of(card, folder)
    vectorizer = Vectorizer.load(folder / VECTORIZER) if VECTORIZER in card.files else None
    naming = Naming(_texts_of_labels(folder / NAMES, card), _texts_of_labels(folder / LABELS, card))
    return Model(card, _loaded(source, card, folder), vectorizer, naming, pick_device(device, source.info.devices))


def _method_of(card: ModelCard, folder: Path) -> type[Method]:
    """The installed class of a model's method; errors as in `load_model`."""
    name, made_by = card.method.name, card.method.version
    if name not in registry.sources():
        hint = f"Install the distribution of the method: {card.method.origin or 'its name is unknown'}."
        raise UsageError(f"{folder}: a model of {name} version {made_by}, and no method {name} is installed", hint)
    source = registry.get(name)
    if source.info.version != made_by:
        raise DataError(
            f"{folder}: a model of {name} version {made_by}; "
            f"version {source.info.version} is installed, which predicts otherwise",
            f"Fit again, or install the version that made it (xmcbench {card.libraries.get('xmcbench', 'unknown')}).",
        )
    return source


def cannot_load(card: ModelCard, folder: Path) -> str:
    """Why a whole model can't be loaded here, such as another version of its method; "" if nothing is known."""
    try:
        _method_of(card, folder)
    except XmcError as error:
        return error.message.removeprefix(f"{folder}: ")
    return ""


def _texts_of_labels(path: Path, card: ModelCard) -> Sequence[str] | None:
    if path.name not in card.files:
        return None
    texts = typed_json(read_file(path, limits.WHOLE_TEXT), list[str], str(path), AGAIN)
    if len(texts) != card.dataset.n_labels:
        raise DataError(f"{path}: {len(texts):,} texts of {card.dataset.n_labels:,} labels", AGAIN)
    return texts


def _loaded(source: type[Method], card: ModelCard, folder: Path) -> Method:
    """The fitted method; query parameters have their defaults, as in a run."""
    defaults = source.info.parameters()
    parameters = card.method.parameters.items()
    values = {name: getattr(defaults, name, None) if name in card.query else value for name, value in parameters}
    try:
        method = source(source.info.parameters(**values))
        method.load(folder / METHOD)
    except (XmcError, KeyboardInterrupt):
        raise
    except Exception as error:
        raise DataError(f"{folder}: {card.method.name} can't load its model: {explain(error)[1]}", AGAIN) from error
    return method


def model_folder(text: str, store: Store, dataset: str | None = None) -> Path:
    """The folder of what a user typed: a model's folder, a run, or a method's name (its newest run with a model).

    Raises
    ------
    UsageError : no such run, or no model of it was kept.
    DataError : a folder without a model.
    """
    path = Path(text)
    if path.is_dir():
        read_card(path)
        return path
    if "/" in text and not path.exists() and not text.endswith(".json"):
        raise UsageError(f"{text}: no such folder", "`xmcbench model export RUN --to FOLDER` writes a model.")
    if path.is_file() and not is_record_file(text):
        raise UsageError(f"{text} is a file, and a model is a folder", "Give the folder, a run, or a method's name.")
    try:
        records = store.fitting(text, store.records(), dataset)
    except UsageError as error:
        hint = _how_to_fit(text, store, dataset) or error.hint
        raise UsageError(f"no folder {text}; {error.message}", hint) from error
    kept = [record for record in records if store.model(record.run_id).is_dir()]
    if not kept:
        newest = records[-1]
        raise UsageError(
            f"the model of run {newest.run_id} was not kept",
            f"xmcbench run '{newest.method.label}' --dataset '{newest.dataset.name}' --keep-models fits it again.",
        )
    return of_run(kept[-1], store)


def _how_to_fit(text: str, store: Store, dataset: str | None) -> str:
    """The command that fits the method `text`; "" if there is no such method, or if there are runs of it."""
    if text not in registry.sources() or any(record.method.name == text for record in store.records()):
        return ""
    return f"`xmcbench run {text} --dataset {dataset or 'NAME'} --keep-models` fits one."


def of_run(record: Record, store: Store) -> Path:
    """The folder of a run's kept model; DataError if what is there is the model of another run."""
    folder = store.model(record.run_id)
    card = read_card(folder)
    if (card.run_id, card.dataset.content_hash) != (record.run_id, record.dataset.content_hash):
        hint = "Move it away, and run with --keep-models."
        raise DataError(f"{folder}: the model of another run, {card.run_id}", hint)
    return folder


def find_model(text: str, store: Store, dataset: str | None = None) -> Model:
    """`load_model` of `model_folder`; errors of both."""
    return load_model(model_folder(text, store, dataset))
