"""A run once more, from its record: same method, parameters, data, seed, k and kind of device."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from xmcbench.errors import UsageError

if TYPE_CHECKING:
    from xmcbench.context import Reporter
    from xmcbench.data.spec import Dataset
    from xmcbench.results.record import Record
    from xmcbench.results.store import Store
    from xmcbench.runs.plan import RunSpec


def spec_of(record: Mapping[str, Any]) -> RunSpec:
    """The run that a record is of; a tuned one with the parameters that were chosen, without tuning again.

    Raises
    ------
    UsageError : nobody can run it here: predictions from outside, a class in a file, a method that isn't installed, is
        of another version or takes other parameters.
    XmcError : the method's import fails.
    """
    from xmcbench.runs import registry
    from xmcbench.runs.plan import RunSpec

    method, data = record["method"], record["dataset"]
    name = method["name"]
    if method.get("family") == "external":
        raise UsageError(f"{name}: predictions brought by their author", "Only their scores can be computed again.")
    if "sha256" in record["code"].get("method", {}) or registry.is_in_a_file(name):  # no record makes us run a file
        raise UsageError(f"{name}: a class in a file", f"Look at the file, then run it yourself: {record['command']}")
    found = registry.get(name)
    if found.info.version != method.get("version"):
        raise UsageError(
            f"{name}: version {found.info.version} here, {method.get('version')} on record",
            "Versions differ in results; install the one on record.",
        )
    try:
        params = found.info.parameters(**method["parameters"])
        found(params)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name}: its parameters on record are none of this version ({error})") from error
    if dataclasses.asdict(params) != method["parameters"]:
        raise UsageError(f"{name}: this version has parameters that the record doesn't", "They had no value then.")
    return RunSpec(name, found, params, data["name"], data["view"], record["seed"], record["k"])


def rerun(record: Mapping[str, Any], dataset: Dataset, store: Store, reporter: Reporter) -> Record:
    """Do the run again, whatever `store` has, and add its record there.

    Raises
    ------
    UsageError, XmcError : as `spec_of`; the record's kind of device isn't here.
    """
    from xmcbench.runs.runner import Options, execute

    device = record["environment"].get("device") or "auto"
    options = Options(device=device, again=True, metrics=[entry["name"] for entry in record["metrics"]])
    return execute(spec_of(record), dataset, store, options, reporter)[0]
