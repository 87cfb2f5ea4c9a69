"""Load a `Dataset` by name: find its source, fetch its files, parse them once, open the cache."""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

from xmcbench.context import Reporter
from xmcbench.data import cache
from xmcbench.data.catalogue import Entry, entry, listed_names, names
from xmcbench.data.home import reading, using
from xmcbench.data.recipes import recipe
from xmcbench.data.spec import Dataset, Parsed
from xmcbench.data.validate import validate
from xmcbench.errors import DataError, unknown


@dataclass(frozen=True)
class Source:
    """A data set that can be parsed, by reading or by generating rows."""

    name: str
    view: str
    revision: str
    propensity: tuple[float, float]
    depends_on: Mapping[str, object]  # everything that the parse depends on, JSON-serialisable
    parse: Callable[[], Parsed]
    phase: str = "parse"  # name of the parse for the reporter
    expected: Mapping[str, int] = field(default_factory=dict)  # counts that a source states; see `validate`


def load(name: str, view: str | None, *, offline: bool, progress: Reporter | None, verify: bool = False) -> Dataset:
    """See `xmcbench.data.load`."""
    reporter = progress or Reporter()
    with ExitStack() as held:
        stored_name = _stored_name(name)
        held.enter_context(using(stored_name))
        with ExitStack() as read:
            if stored_name.casefold() not in names() and not _is_synthetic(name):
                read.enter_context(reading(stored_name))
            source = find(name, view, offline=offline, reporter=reporter)
            cached = _open(source, reporter, verify)
        dataset = Dataset(
            **vars(cached.parsed),
            name=source.name,
            view=source.view,
            revision=source.revision,
            content_hash=cached.content_hash,
            propensity=source.propensity,
        )
        weakref.finalize(dataset, held.pop_all().close)  # in use until it is freed or the process ends
        return dataset


def _open(source: Source, reporter: Reporter, verify: bool) -> cache.Cached:
    def build() -> Parsed:
        reporter.phase(source.phase)
        parsed = source.parse()
        validate(parsed, source.name, source.expected)
        return parsed

    key = cache.key_of(source.depends_on)
    return cache.open_or_build(cache.folder_of(source.name, source.view, key), key, build, verify=verify)


def _is_synthetic(name: str) -> bool:
    return name.partition("[")[0].strip().casefold() == "synthetic"


def _stored_name(name: str) -> str:
    """The name of the data set's folders in the home folder; UsageError if there is no data set of that name."""
    if _is_synthetic(name):
        from xmcbench.data import synthetic

        return synthetic.parameters(name).name
    if name.casefold() in names():
        return entry(name).name
    from xmcbench.data.imported import imported_names, is_imported

    if is_imported(name):
        return name.casefold()
    raise unknown("data set", name, {*listed_names(), *imported_names()})


def find(name: str, view: str | None, *, offline: bool, reporter: Reporter) -> Source:
    """Find the source of a data set by name and fetch its files; errors as in `xmcbench.data.load`."""
    if _is_synthetic(name):
        return _synthetic_source(name, view)
    if name.casefold() in names():
        return _catalogue_source(entry(name), view, offline=offline, reporter=reporter)
    return _imported_source(name, view)


def _catalogue_source(facts: Entry, view: str | None, *, offline: bool, reporter: Reporter) -> Source:
    from xmcbench.data.fetch import fetch_files
    from xmcbench.data.hashes import remembered

    view = view or facts.default_view
    files = fetch_files(facts, view, offline=offline, progress=reporter)
    dataset_recipe = recipe(facts.recipe)

    def hashes() -> dict[str, str]:
        return {role: remembered(path).sha256 for role, path in sorted(files.items())}

    depends_on = {
        "recipe": [facts.recipe, dataset_recipe.version],
        "view": view,
        "options": dict(facts.options),
        "files": hashes(),
    }

    def parse() -> Parsed:
        parsed = dataset_recipe.run(files, view, facts.options)
        if hashes() != depends_on["files"]:
            raise DataError(f"{facts.name}: its files changed while they were read", "Repeat the command.")
        return parsed

    return Source(facts.name, view, facts.revision, facts.propensity, depends_on, parse, expected=facts.expected)


def _synthetic_source(name: str, view: str | None) -> Source:
    from xmcbench.data import synthetic

    facts = entry("synthetic")
    parameters = synthetic.parameters(name)
    facts.forms_for(view)  # raises for an unknown view
    depends_on = {"synthetic": synthetic.VERSION, **dataclasses.asdict(parameters)}
    parse = partial(synthetic.make, parameters)
    return Source(
        parameters.name, facts.default_view, facts.revision, facts.propensity, depends_on, parse, phase="make"
    )


def _imported_source(name: str, view: str | None) -> Source:
    from xmcbench.data.hashes import remembered
    from xmcbench.data.imported import check_files, find_imported

    facts = find_imported(name)
    view = facts.view(view)
    check_files(facts, lambda path: remembered(path).sha256)
    files = sorted(path for path in facts.folder.rglob("[!.]*") if path.is_file())
    depends_on = {"view": view, "files": {path.name: remembered(path).sha256 for path in files}}

    def parse() -> Parsed:
        parsed = facts.parse(view)
        if find_imported(name) != facts:
            raise DataError(f"{facts.name} was imported again while it was read", "Repeat the command.")
        check_files(facts, lambda path: remembered(path).sha256)  # none was edited meanwhile
        return parsed

    return Source(facts.name, view, facts.revision, facts.propensity, depends_on, parse)
