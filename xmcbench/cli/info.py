"""`xmcbench info NAME` describes a method, a data set or a metric; `xmcbench cite NAME…` prints BibTeX."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xmcbench import __version__
from xmcbench.cli import completion
from xmcbench.cli.options import AsJson, warn_of_lost_hashes
from xmcbench.cli.terminal import columns, paragraph, say
from xmcbench.errors import UsageError, unknown
from xmcbench.escaping import clean, clean_lines

if TYPE_CHECKING:
    from xmcbench.data.catalogue import Entry
    from xmcbench.data.imported import Imported
    from xmcbench.method import Method
    from xmcbench.metrics import Definition

Facts = Mapping[str, object]  # what --json prints: title → value
XMCBENCH_ENTRY = f"""@software{{xmcbench,
  title = {{xmcbench: extreme multi-label classification, compared honestly}},
  author = {{{{The xmcbench developers}}}},
  version = {{{__version__}}}
}}"""

# optional fact about a parameter → its sentence
SENTENCES = {
    "none_means": " None: {}.",
    "bounds": " Must be {}.",
    "query_values": " Changes only prediction; values of a curve: {}.",
    "tune_values": " --tune selects from: {}.",
}


def info(
    name: Annotated[
        str,
        typer.Argument(
            autocompletion=completion.things, help="A method, data set or metric; or path/to/file.py:Class."
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Describe a method, data set or metric.

    Shows the parameters of a method with the sources of their defaults; counts, licence, lineage and known issues of a
    data set; formula and definition of a metric.
    """
    from xmcbench.data.catalogue import Entry
    from xmcbench.data.imported import Imported

    facts = []
    for meaning in look_up(name):
        if isinstance(meaning, type):
            facts.append(method_facts(meaning, name))
        elif isinstance(meaning, Imported):
            facts.append(imported_facts(meaning))
        else:
            facts.append(dataset_facts(meaning) if isinstance(meaning, Entry) else metric_facts(meaning))
            if isinstance(meaning, Entry):
                warn_of_lost_hashes()
    typer.echo(json.dumps(facts, indent=1) if as_json else "\n\n".join(map(as_text, facts)))


def cite(
    names: Annotated[
        list[str] | None,
        typer.Argument(autocompletion=completion.things, help="Methods, data sets and metrics that were used."),
    ] = None,
) -> None:
    """Print BibTeX for methods, data sets, metrics and xmcbench."""
    entries = [XMCBENCH_ENTRY]
    for name in names or []:
        citations = [m.info.citation if isinstance(m, type) else _citation(m) for m in look_up(name)]
        # split into BibTeX entries, so that an entry shared by two data sets is printed once
        texts = re.split(r"^(?=@)", "\n".join(citations), flags=re.M)
        texts = [text.strip() for text in texts if text.strip()] or ["no citation is known"]
        entries += [text if text.startswith("@") else f"% {name}: {text}" for text in texts]
    say("\n\n".join(dict.fromkeys(entries)))


def _citation(meaning: Entry | Definition | Imported) -> str:
    from xmcbench.data.imported import Imported

    imported = "imported from your files, so only you know whom to cite"
    return imported if isinstance(meaning, Imported) else meaning.citation


def look_up(name: str) -> list[type[Method] | Entry | Definition | Imported]:
    """All methods, data sets and metrics of that name. Only methods are loaded.

    Raises
    ------
    UsageError : there is none; the hint offers similar names of all kinds. XmcError : the method can't be imported.
    DataError : the data set is imported, and its meta.json is damaged.
    """
    from xmcbench.data.catalogue import catalogue
    from xmcbench.data.imported import find_imported, imported_names, is_imported
    from xmcbench.data.inventory import described
    from xmcbench.metrics import describe, parse
    from xmcbench.metrics.names import METRICS
    from xmcbench.runs import registry

    meanings: list[type[Method] | Entry | Definition | Imported] = []
    if name in registry.sources() or registry.is_in_a_file(name):
        meanings.append(registry.typed(name))
    datasets = {alias.casefold(): entry for entry in catalogue().values() for alias in (entry.name, *entry.aliases)}
    if name.casefold() in datasets or name.casefold().startswith("synthetic["):
        meanings.append(described(name))
    if is_imported(name):
        meanings.append(find_imported(name))
    variants = [definition for definition in describe() if definition.metric.casefold() == name.casefold()]
    with suppress(UsageError):  # a bare name such as "PSP" means all variants, a full one such as "PSP@5" that one
        meanings += variants or [parse(name).definition]
    if not meanings:
        raise unknown("method, data set or metric", name, {*registry.sources(), *datasets, *imported_names(), *METRICS})
    return meanings


def method_facts(method: type[Method], name: str) -> Facts:
    """A method's `info`, and each parameter with its default, meaning and source."""
    from xmcbench.runs.registry import sources

    about, source = method.info, sources().get(name)
    docstring = method.__dict__.get("__doc__")  # not one inherited from a base class
    return {
        "method": about.name,
        **_attributes(about, "summary", "family", "version"),
        "origin": source.origin if source else name,
        **_attributes(about, "needs", "wants_validation", "deterministic", "seeded", "devices"),
        "scores": about.scores,
        "comparable_between_rows": about.comparable,
        "about": inspect.cleandoc(docstring) if docstring else "",
        "parameters": [_parameter_facts(field) for field in dataclasses.fields(about.parameters)],
        "presets": {preset: dict(values) for preset, values in about.presets.items()},
        "citation": about.citation,
    }


def _parameter_facts(field: dataclasses.Field[object]) -> Facts:
    declared = field.metadata
    always = {
        "name": field.name,
        "default": field.default,
        "doc": declared.get("doc"),
        "source": declared.get("source"),
    }
    optional = {
        "bounds": str(declared.get("bounds") or ""),
        "none_means": declared.get("none"),
        "query_values": declared.get("query"),
        "tune_values": declared.get("tune"),
        "control": declared.get("control"),
    }
    return {**always, **{key: value for key, value in optional.items() if value}}


def _attributes(of: object, *names: str) -> Facts:
    values = {name: getattr(of, name) for name in names}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def dataset_facts(entry: Entry) -> Facts:
    """A catalogue entry, without the URLs of its files, which `xmcbench data where` shows."""
    return {
        "dataset": entry.name,
        **_attributes(entry, "title", "aliases", "revision", "summary"),
        "views": [f"{view} (default)" if view == entry.default_view else view for view in entry.views],
        "expected": dict(entry.expected),
        "expected_source": entry.expected_source,
        "propensity": dict(zip(("A", "B"), entry.propensity, strict=True)),
        **_attributes(entry, "propensity_source", "licence", "redistribution", "homepage"),
        "lineage": entry.lineage,
        "same_name_as": dict(entry.same_name_as),
        **_attributes(entry, "known_issues", "citation"),
    }


def imported_facts(imported: Imported) -> Facts:
    """What is known of a data set that was imported from a user's files."""
    return {
        "dataset": imported.name,
        "revision": imported.revision,
        "summary": "imported from files",
        "folder": str(imported.folder),
        "views": list(imported.views),
        "counts": dict(imported.counts),
        "propensity": dict(zip(("A", "B"), imported.propensity, strict=True)),
        "notes": list(imported.notes),
        "changes": list(imported.changes),
    }


def metric_facts(definition: Definition) -> Facts:
    """A metric's definition."""
    return {
        "metric": definition.metric + (f"({definition.variant})" if definition.variant else ""),
        "also_called": [f"{definition.metric}({same})" for same in definition.same],
        **_attributes(definition, "summary", "formula", "kind"),
        "cut_off": {"needed": "@k is needed", "optional": "@k may be given", "none": "takes no @k"}[definition.cut],
        "propensities": definition.weighted,
        "direction": "higher is better",  # for all metrics
        "range": [0.0, definition.high],
        "a_row_without_true_labels": definition.empty,
        "definition_version": definition.version,
        "citation": definition.citation,
    }


def as_text(facts: Facts) -> str:
    """Format facts: short ones in two columns, long ones below them with a title."""
    short, sections = [], []
    for key, value in facts.items():
        title = key.replace("_", " ")
        match key, value:
            case "parameters", list():
                usual, controls = ([p for p in value if ("control" in p) is wanted] for wanted in (False, True))
                sections.append("parameters:\n" + ("\n".join(map(_parameter, usual)) or "  none"))
                if controls:
                    sections.append("for controls and ablations:\n" + "\n".join(map(_parameter, controls)))
            case _ if value in ("", [], {}):
                pass
            case "about", str():
                sections.append(f"{title}:\n" + columns((line,) for line in value.splitlines()))
            case "citation", str():
                sections.append(f"{title}:\n{clean_lines(value)}")
            case "presets", dict():
                texts = (", ".join(f"{k}={v}" for k, v in values.items()) for values in value.values())
                presets = [(name, text or "the defaults") for name, text in zip(value, texts, strict=True)]
                sections.append("presets, as in name[preset=…]:\n" + columns(presets, "  "))
            case "known_issues" | "notes" | "changes", list():
                sections.append(f"{title}:\n" + "\n".join(map(paragraph, value)))
            case _, dict():
                sections.append(f"{title}:\n" + columns(value.items(), "  "))
            case _, list():
                short.append((f"{title}:", ", ".join("no limit" if part is None else str(part) for part in value)))
            case _, bool():
                short.append((f"{title}:", "yes" if value else "no"))
            case _:
                short.append((f"{title}:", str(value)))
    return "\n".join([*([columns(short)] if short else []), *sections])


def _parameter(facts: Mapping[str, Any]) -> str:
    text = f"{facts['doc']}."
    for key, form in SENTENCES.items():
        if value := facts.get(key):
            text += form.format(value if isinstance(value, str) else ", ".join(map(str, value)))
    lines = (paragraph(part, " " * 6) for part in (text, f"from: {facts['source']}"))
    return "\n".join([f"  {clean(facts['name'])} = {clean(facts['default'])}", *lines])
