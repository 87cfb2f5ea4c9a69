"""Map method names to their classes; a method is imported when its name is used.

Three sources: the table below, entry points of group `xmcbench.methods` from any installed distribution (read from
package metadata), and `path/to/file.py:Class` for experiments.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import importlib.util
import re
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution, EntryPoint, distributions, entry_points
from pathlib import Path
from typing import cast

from xmcbench.errors import UsageError, XmcError, cannot_read, explain, unknown
from xmcbench.escaping import kind_of, plain_text
from xmcbench.method import Method, MethodInfo

GROUP = "xmcbench.methods"
BUILT_IN = {
    "ance": "xmcbench.methods.ance:Ance",
    "bonsai": "xmcbench.methods.tree:Bonsai",
    "knn": "xmcbench.methods.knn:Knn",
    "napkinxc": "xmcbench.peers.napkinxc:Napkinxc",
    "omikuji": "xmcbench.peers.omikuji:Omikuji",
    "ovr": "xmcbench.methods.ovr:Ovr",
    "parabel": "xmcbench.methods.tree:Parabel",
    "pecos": "xmcbench.peers.pecos:Pecos",
    "popularity": "xmcbench.methods.popularity:Popularity",
    "tree": "xmcbench.methods.tree:Tree",
    "xrlinear": "xmcbench.methods.tree:XrLinear",
}
_SCALARS = (bool, int, float, str, type(None))  # types of parameters
_hashes: dict[str, str] = {}  # "file.py:Class" → hash of the code that was imported; the file may change or move later
_MEMBERS = ("info", "skip", "fit", "predict", "save", "load")


@dataclass(frozen=True)
class Source:
    """Location of a method: "module:Class" and the distribution that declares it."""

    name: str
    target: str
    origin: str


@cache
def sources() -> dict[str, Source]:
    """All known names, built-in ones first; a plugin can't override an existing name."""
    by_name = {name: Source(name, target, "xmcbench") for name, target in BUILT_IN.items()}
    for point in sorted(_points()[0], key=lambda p: (p.name, p.value)):
        by_name.setdefault(point.name, Source(point.name, point.value, _named(point.dist)))
    return by_name


def _named(distribution: Distribution | None) -> str:
    """Name and version of a distribution; its metadata may be missing or damaged."""
    with suppress(Exception):
        if distribution is not None and distribution.name:
            return f"{distribution.name} {distribution.version}"
    return "unknown distribution"


def clashes() -> list[str]:
    """Names that more than one distribution declares; `doctor` shows them."""
    clashing: list[str] = []
    for point in _points()[0]:
        used = sources()[point.name]
        if used.target != point.value:
            clashing.append(f"{point.name}: {used.target} ({used.origin}) is used, {point.value} is not")
    return clashing


def damaged() -> list[str]:
    """Distributions with unreadable entry points; `doctor` shows them."""
    return _points()[1]


def _points() -> tuple[list[EntryPoint], list[str]]:
    """Entry points of our group, and damaged distributions: one damaged file must not hide all other plugins."""
    try:
        return list(entry_points(group=GROUP)), []
    except Exception:
        points: list[EntryPoint] = []
        unreadable: list[str] = []
        for distribution in distributions():
            try:
                points += [point for point in distribution.entry_points if point.group == GROUP]
            except Exception as error:
                unreadable.append(f"{_named(distribution)}: {explain(error)[1]}")
        return points, unreadable


def typed(text: str) -> type[Method]:
    """The method class for what a user typed: a name, or "file.py:Class", whose file is run. Errors as in `get`.

    Texts of files (records, expected scores) must go to `get`, so that no file decides which code runs.
    """
    return _from_file(text) if is_in_a_file(text) else get(text)


def get(name: str) -> type[Method]:
    """The class of a built-in method or of an installed distribution.

    Raises
    ------
    UsageError : the name is unknown, in which case the hint offers similar names, or is of a class in a file.
    XmcError : the import fails, or the object isn't a method.
    """
    if is_in_a_file(name):
        raise UsageError(
            f"{name}: a class in a file, which only `xmcbench run` and other commands that are given it load",
            "Read the file first: its code runs as soon as it is loaded.",
        )
    if name not in sources():
        raise unknown("method", name, sources())
    source = sources()[name]
    module, _, attribute = source.target.partition(":")
    try:
        candidate: object = getattr(importlib.import_module(module), attribute)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise XmcError(
            f"method {name!r} from {source.origin} can't be imported: {explain(error)[1]}",
            "Reinstall or remove that distribution; `xmcbench doctor` shows every plugin's state.",
        ) from error
    method = checked(candidate, name)
    if method.info.name != name:
        raise XmcError(
            f"method {name!r} from {source.origin} calls itself {method.info.name!r}",
            "The entry point and info.name must have the same name, or records would mix the two.",
        )
    return method


def is_in_a_file(name: str) -> bool:
    """Whether a name has the form "file.py:Class", so that `get` runs the code of that file."""
    return re.search(r"\.py:\w+$", name) is not None


def identity(name: str) -> dict[str, str]:
    """Identity of a method's code, part of a run's identity. For a file it changes with every edit."""
    if name in sources():
        return {"target": sources()[name].target, "origin": sources()[name].origin.split()[0]}
    path = Path(name.rpartition(":")[0])
    return {"target": plain_text(path.name), "sha256": _hashes.get(name) or hashlib.sha256(_read(path)).hexdigest()}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise cannot_read(path, error) from error


def checked(candidate: object, name: str) -> type[Method]:
    """Check that `candidate` is a method class that records can describe; return it.

    Raises XmcError: the message lists all missing members, or all faults of `info`.
    """
    try:
        missing = [m for m in _MEMBERS if not hasattr(candidate, m)]
        if not isinstance(candidate, type) or missing:
            raise XmcError(
                f"{name!r} is {plain_text(candidate)}, not a method class"
                + (f": it lacks {', '.join(missing)}" if missing else ""),
                "See xmcbench.method.Method; `xmcbench new method NAME` writes a working skeleton.",
            )
        info = candidate.info  # type: ignore[attr-defined]
        if not isinstance(info, MethodInfo):
            raise XmcError(f"{name!r}: info is a {kind_of(info)}, not an xmcbench.MethodInfo")
        if faults := _faults(info):
            raise XmcError(f"{name!r}: {'; '.join(faults)}", "xmcbench.method.MethodInfo says what is valid.")
    except (XmcError, KeyboardInterrupt):
        raise
    except BaseException as error:  # properties and the class of the parameters are code of the plugin
        raise XmcError(f"{name!r}: its info can't be read: {explain(error)[1]}") from error
    return candidate


def _faults(info: MethodInfo) -> list[str]:
    """What a plan or a record can't hold of a method's info."""
    texts = {field: getattr(info, field) for field in ("name", "summary", "family", "version", "citation", "scores")}
    faults = [f"info.{field} is a {kind_of(v)}, not a str" for field, v in texts.items() if type(v) is not str]
    faults += [
        f"info.{field} is not valid text, or too long"
        for field, v in texts.items()
        if type(v) is str and plain_text(v) != v
    ]
    if not texts["name"]:
        faults.append("info.name is empty")
    for field in ("wants_validation", "deterministic", "seeded"):
        if type(getattr(info, field)) is not bool:
            faults.append(f"info.{field} is a {kind_of(getattr(info, field))}, not a bool")
    for field in ("needs", "devices"):
        words = getattr(info, field)
        if not isinstance(words, list | tuple) or not all(type(word) is str for word in words):
            faults.append(f"info.{field} is not a tuple of texts")
    if not all(type(seconds) in (int, float) for seconds in dict(info.seconds).values()):
        faults.append("info.seconds has values that are no numbers")
    values = dataclasses.asdict(dataclasses.replace(info.parameters()))
    values |= {f"{name} of preset {preset}": v for preset, set_ in info.presets.items() for name, v in set_.items()}
    values |= {
        f"{name}, in query or tune,": v
        for declared in (info.query_parameters(), info.tunable_parameters())
        for name, choices in declared.items()
        for v in choices
    }
    for name, value in values.items():
        if type(value) not in _SCALARS:
            faults.append(f"parameter {name} is a {kind_of(value)}, not a number, text, bool or None")
        elif isinstance(value, str) and plain_text(value) != value:
            faults.append(f"parameter {name} is not valid text, or too long")
        elif isinstance(value, int | float) and not abs(value) < 2**63:
            faults.append(f"parameter {name} is {value}, not a finite number within 2^63")
    return faults


def unusable(name: str, error: XmcError) -> type[Method]:
    """A method in the place of one that can't be imported or constructed: its run fails with `error`.

    The other runs of a plan then continue, and the failure is on record.
    """
    shown = Path(name).name if is_in_a_file(name) else name  # folders mean nothing on other machines
    about = MethodInfo(plain_text(shown, 100), "can't be used", "other", "unknown", deterministic=True)

    class Unusable:
        """Fails when it is constructed."""

        info = about

        def __init__(self, params: object) -> None:
            raise XmcError(error.message, error.hint)

        skip = fit = predict = save = load = __init__

    return cast(type[Method], Unusable)


def _from_file(text: str) -> type[Method]:
    path_text, _, attribute = text.rpartition(":")
    path = Path(path_text)
    if not path.is_file():
        raise UsageError(f"{path}: no such file", "Give --method path/to/file.py:ClassName.")
    spec = importlib.util.spec_from_file_location(f"xmcbench_experiment_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    code = _read(path)
    sys.modules[spec.name] = module
    folder = str(path.parent.resolve())
    sys.path.insert(0, folder)  # the file can import modules in its folder, like a script
    try:
        exec(compile(code, str(path), "exec"), vars(module))  # the code that is hashed below, not a cached older one
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise XmcError(f"{path}: import fails: {explain(error)[1]}") from error
    finally:
        if folder in sys.path:
            sys.path.remove(folder)
    _hashes[text] = hashlib.sha256(code).hexdigest()
    if not hasattr(module, attribute):
        raise unknown(f"class in {path}", attribute, [n for n, v in vars(module).items() if isinstance(v, type)])
    method = checked(getattr(module, attribute), text)
    if method.info.name in sources():
        raise UsageError(
            f"{path}: {attribute} calls itself {method.info.name!r}, which is {sources()[method.info.name].target}",
            "Give its info another name, so that records don't mix the two.",
        )
    return method
