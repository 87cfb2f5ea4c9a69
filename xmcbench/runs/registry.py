"""Map method names to their classes; a method is imported when its name is used.

Three sources: the table below, entry points of group `xmcbench.methods` from any installed distribution (read from
package metadata), and `path/to/file.py:Class` for experiments.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, distributions, entry_points
from pathlib import Path

from xmcbench.errors import UsageError, XmcError, unknown
from xmcbench.files import sha256_of
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
        origin = f"{point.dist.name} {point.dist.version}" if point.dist else "unknown distribution"
        by_name.setdefault(point.name, Source(point.name, point.value, origin))
    return by_name


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
                unreadable.append(f"{distribution.name} {distribution.version}: {type(error).__name__}: {error}")
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
    except (Exception, SystemExit) as error:
        raise XmcError(
            f"method {name!r} from {source.origin} can't be imported: {type(error).__name__}: {error}",
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
    return {"target": Path(name.rpartition(":")[0]).name, "sha256": sha256_of(Path(name.rpartition(":")[0]))}


def checked(candidate: object, name: str) -> type[Method]:
    """Check that `candidate` is a method class and return it; all missing members are reported together."""
    missing = [m for m in _MEMBERS if not hasattr(candidate, m)]
    if not isinstance(candidate, type) or missing:
        raise XmcError(
            f"{name!r} is {candidate!r}, not a method class" + (f": it lacks {', '.join(missing)}" if missing else ""),
            "See xmcbench.method.Method; `xmcbench new method NAME` writes a working skeleton.",
        )
    info = candidate.info  # type: ignore[attr-defined]
    if not isinstance(info, MethodInfo):
        raise XmcError(f"{name!r}: info is a {type(info).__name__}, not an xmcbench.MethodInfo")
    return candidate


def _from_file(text: str) -> type[Method]:
    path_text, _, attribute = text.rpartition(":")
    path = Path(path_text)
    if not path.is_file():
        raise UsageError(f"{path}: no such file", "Give --method path/to/file.py:ClassName.")
    spec = importlib.util.spec_from_file_location(f"xmcbench_experiment_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, str(path.parent.resolve()))  # the file can import modules in its folder, like a script
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise XmcError(f"{path}: import fails: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(path.parent.resolve()))
    if not hasattr(module, attribute):
        raise unknown(f"class in {path}", attribute, [n for n, v in vars(module).items() if isinstance(v, type)])
    method = checked(getattr(module, attribute), text)
    if method.info.name in sources():
        raise UsageError(
            f"{path}: {attribute} calls itself {method.info.name!r}, which is {sources()[method.info.name].target}",
            "Give its info another name, so that records don't mix the two.",
        )
    return method
