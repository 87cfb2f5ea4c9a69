"""`xmcbench info NAME`: describe a method, a data set or a metric."""

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
    """Describe a method, data set or metric.

    Shows the parameters of a method with the sources of their defaults; counts, licence, lineage and known issues of a
    data set; formula and definition of a metric.
    """
    from xmcbench.cli.names import look_up

    meanings = look_up(name)
    facts: list[dict[str, Any]] = []
    if meanings.method is not None:
        facts.append(method_facts(meanings.method, name))
    if meanings.dataset is not None:
        facts.append(dataset_facts(meanings.dataset))
    facts += [metric_facts(definition) for definition in meanings.metric]
    if as_json:
        typer.echo(json.dumps(facts, indent=1))
    else:
        typer.echo("\n\n".join(as_text(one) for one in facts))


def method_facts(method: type[Method], name: str) -> dict[str, Any]:
    """A method's `info`, and each parameter with its default, meaning and source."""
    from xmcbench.runs.registry import sources

    method_info, source = method.info, sources().get(name)
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
            **({"control": True} if f.metadata.get("control") else {}),
        }
        for f in dataclasses.fields(method_info.parameters)
    ]
    return {
        "method": method_info.name,
        "summary": method_info.summary,
        "family": method_info.family,
        "version": method_info.version,
        "origin": source.origin if source else name,
        "needs": list(method_info.needs),
        "wants_validation": method_info.wants_validation,
        "deterministic": method_info.deterministic,
        "seeded": method_info.seeded,
        "devices": list(method_info.devices),
        "about": _about(method),
        "parameters": parameters,
        "presets": {preset: dict(values) for preset, values in method_info.presets.items()},
        "citation": method_info.citation,
    }


def dataset_facts(entry: Entry) -> dict[str, Any]:
    """A catalogue entry, without the URLs of its files, which `xmcbench data where` shows."""
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
        "direction": "higher is better",  # for all metrics
        "range": [0.0, definition.high],
        "a_row_without_true_labels": definition.empty,
        "definition_version": definition.version,
        "citation": definition.citation,
    }


def as_text(facts: dict[str, Any]) -> str:
    """Format facts: short ones in two columns, long ones below them with a title."""
    from xmcbench.cli.plain import columns, paragraph
    from xmcbench.escaping import clean_lines

    short, sections = [], []
    for key, value in facts.items():
        title = key.replace("_", " ")
        if key == "parameters":
            usual, controls = [p for p in value if "control" not in p], [p for p in value if "control" in p]
            sections.append("parameters:\n" + ("\n".join(map(_parameter, usual)) or "  none"))
            if controls:
                sections.append("for controls and ablations:\n" + "\n".join(map(_parameter, controls)))
        elif key in ("citation", "about") and value:
            sections.append(f"{title}:\n" + clean_lines(value))
        elif key == "presets" and value:
            presets = {
                name: ", ".join(f"{k}={v}" for k, v in values.items()) or "the defaults"
                for name, values in value.items()
            }
            sections.append("presets, as in name[preset=…]:\n" + columns(presets.items(), "  "))
        elif isinstance(value, dict) and value:
            sections.append(f"{title}:\n" + columns(value.items(), "  "))
        elif key == "known_issues" and value:
            sections.append(f"{title}:\n" + "\n".join(paragraph(issue) for issue in value))
        elif value not in ("", [], {}):
            short.append((f"{title}:", _value(value)))
    return "\n".join([columns(short), *sections])


def _about(method: type[Method]) -> str:
    """The docstring of the class itself, not one inherited from a base class."""
    docstring = method.__dict__.get("__doc__")
    return inspect.cleandoc(docstring) if docstring else ""


def _parameter(facts: dict[str, Any]) -> str:
    from xmcbench.cli.plain import paragraph
    from xmcbench.escaping import clean

    none = f" None: {facts['none_means']}." if "none_means" in facts else ""
    bounds = f" Must be {facts['bounds']}." if "bounds" in facts else ""
    values = ", ".join(map(str, facts.get("query_values", ())))
    query = f" Changes only prediction; values of a curve: {values}." if values else ""
    tuned = ", ".join(map(str, facts.get("tune_values", ())))
    tune = f" --tune selects from: {tuned}." if tuned else ""
    head = f"  {clean(facts['name'])} = {clean(facts['default'])}"
    return (
        f"{head}\n{paragraph(facts['doc'] + '.' + none + bounds + query + tune, '      ')}\n"
        f"{paragraph('from: ' + facts['source'], '      ')}"
    )


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join("no limit" if part is None else str(part) for part in value)
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
