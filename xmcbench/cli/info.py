"""`xmcbench info NAME`: all that is known of a method, a data set or a metric."""

from __future__ import annotations

import dataclasses
import inspect
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from xmcbench.data.catalogue import Entry
    from xmcbench.method import Method
    from xmcbench.metrics import Definition


def info(
    name: Annotated[str, typer.Argument(help="A method, data set or metric; or path/to/file.py:Class.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Show what a method, data set or metric is.

    Methods with their parameters and where the defaults come from; data sets with counts, licence, lineage and known
    issues; metrics with formula and definition.
    """
    from xmcbench.cli.names import look_up

    found = look_up(name)
    facts: list[dict[str, Any]] = []
    if found.method is not None:
        facts.append(method_facts(found.method, name))
    if found.dataset is not None:
        facts.append(dataset_facts(found.dataset))
    facts += [metric_facts(definition) for definition in found.metric]
    if as_json:
        typer.echo(json.dumps(facts, indent=1))
    else:
        typer.echo("\n\n".join(as_text(one) for one in facts))


def method_facts(method: type[Method], name: str) -> dict[str, Any]:
    """A method's `info`, and each parameter with its default, meaning and source."""
    from xmcbench.runs.registry import sources

    known, source = method.info, sources().get(name)
    parameters = [
        {
            "name": f.name,
            "default": f.default,
            "doc": f.metadata.get("doc", ""),
            "source": f.metadata.get("source", ""),
            **({"bounds": str(f.metadata["bounds"])} if f.metadata.get("bounds") else {}),
            **({"none_means": f.metadata["none"]} if f.metadata.get("none") else {}),
            **({"query_values": list(f.metadata["query"])} if f.metadata.get("query") else {}),
            **({"tune_values": list(f.metadata["tune"])} if f.metadata.get("tune") else {}),
        }
        for f in dataclasses.fields(known.parameters)
    ]
    return {
        "method": known.name,
        "summary": known.summary,
        "family": known.family,
        "version": known.version,
        "origin": source.origin if source else name,
        "needs": list(known.needs),
        "wants_validation": known.wants_validation,
        "deterministic": known.deterministic,
        "seeded": known.seeded,
        "devices": list(known.devices),
        "about": _about(method),
        "parameters": parameters,
        "presets": {preset: dict(values) for preset, values in known.presets.items()},
        "citation": known.citation,
    }


def dataset_facts(entry: Entry) -> dict[str, Any]:
    """A catalogue entry without the addresses of its files; `xmcbench data where` has those."""
    return {
        "dataset": entry.name,
        "title": entry.title,
        "aliases": list(entry.aliases),
        "revision": entry.revision,
        "summary": entry.summary,
        "views": [f"{view} (default)" if view == entry.default_view else view for view in entry.views],
        "expected": dict(entry.expected),
        "expected_source": entry.expected_source,
        "propensity": dict(zip(("A", "B"), entry.propensity, strict=True)),
        "propensity_source": entry.propensity_source,
        "licence": entry.licence,
        "redistribution": entry.redistribution,
        "homepage": entry.homepage,
        "lineage": entry.lineage,
        "same_name_as": dict(entry.same_name_as),
        "known_issues": list(entry.known_issues),
        "citation": entry.citation,
    }


def metric_facts(definition: Definition) -> dict[str, Any]:
    """A metric's definition."""
    variant = f"({definition.variant})" if definition.variant else ""
    return {
        "metric": definition.metric + variant,
        "also_called": [f"{definition.metric}({same})" for same in definition.same],
        "summary": definition.summary,
        "formula": definition.formula,
        "kind": definition.kind,
        "cut_off": {"needed": "@k is needed", "optional": "@k may be given", "none": "takes no @k"}[definition.cut],
        "propensities": definition.weighted,
        "direction": "higher is better",  # of every one of them
        "range": [0.0, definition.high],
        "a_row_without_true_labels": definition.empty,
        "definition_version": definition.version,
        "citation": definition.citation,
    }


def as_text(facts: dict[str, Any]) -> str:
    """Facts as text: short ones in two columns, long ones below under their names."""
    from xmcbench.cli.plain import columns, paragraph
    from xmcbench.escaping import clean_lines

    short, below = [], []
    for key, value in facts.items():
        title = key.replace("_", " ")
        if key == "parameters":
            below.append("parameters:\n" + ("\n".join(_parameter(p) for p in value) or "  none"))
        elif key in ("citation", "about") and value:
            below.append(f"{title}:\n" + clean_lines(value))
        elif key == "presets" and value:
            told = {
                name: ", ".join(f"{k}={v}" for k, v in one.items()) or "the defaults" for name, one in value.items()
            }
            below.append("presets, as in name[preset=…]:\n" + columns(told.items(), "  "))
        elif isinstance(value, dict) and value:
            below.append(f"{title}:\n" + columns(value.items(), "  "))
        elif key == "known_issues" and value:
            below.append(f"{title}:\n" + "\n".join(paragraph(issue) for issue in value))
        elif value not in ("", [], {}):
            short.append((f"{title}:", _value(value)))
    return "\n".join([columns(short), *below])


def _about(method: type[Method]) -> str:
    """The docstring the class itself has; one inherited from a base says nothing of it."""
    own = method.__dict__.get("__doc__")
    return inspect.cleandoc(own) if own else ""


def _parameter(facts: dict[str, Any]) -> str:
    from xmcbench.cli.plain import paragraph
    from xmcbench.escaping import clean

    none = f" None: {facts['none_means']}." if "none_means" in facts else ""
    bounds = f" Must be {facts['bounds']}." if "bounds" in facts else ""
    values = ", ".join(map(str, facts.get("query_values", ())))
    query = f" Changes prediction only; worth a curve: {values}." if values else ""
    tried = ", ".join(map(str, facts.get("tune_values", ())))
    tune = f" Chosen by --tune from: {tried}." if tried else ""
    head = f"  {clean(facts['name'])} = {clean(facts['default'])}"
    return (
        f"{head}\n{paragraph(facts['doc'] + '.' + none + bounds + query + tune, '      ')}\n"
        f"{paragraph('from: ' + facts['source'], '      ')}"
    )


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join("no limit" if part is None else str(part) for part in value)
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
