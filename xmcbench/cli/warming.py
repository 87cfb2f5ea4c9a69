"""`xmcbench doctor --warm`: kernels are compiled before somebody waits for them."""

from __future__ import annotations

import tempfile

from xmcbench.cli.terminal import say

DATASET = "synthetic[labels=100,rows=1000,test=200]"  # small, and large enough that every kernel of a method runs
SECONDS = 300.0  # limit of a method: ELIAS takes about one minute
TEXTS = ["each kernel is compiled once", "each kernel is used often"]


def warm() -> None:
    """Fit every installed method but the peers, which bring compiled code, on a small data set; say what was compiled.

    A method that fails is named with its reason, and the others follow.
    """
    import xmcbench as xb
    from xmcbench.data.text import bow_any_script, bow_words_chars
    from xmcbench.errors import XmcError
    from xmcbench.escaping import one_line
    from xmcbench.runs import registry

    for view in (bow_words_chars, bow_any_script):
        view(TEXTS, TEXTS)
    with tempfile.TemporaryDirectory(prefix="xmcbench-") as results:
        for name, source in registry.sources().items():
            if source.target.startswith("xmcbench.peers."):
                continue
            try:
                runs = xb.run(name, dataset=DATASET, results=results, time_limit=SECONDS, progress=False)
            except XmcError as error:
                say(f"{name}: {one_line(error.message)}", err=True)
                continue
            compiled = sum(record.costs.compile_seconds or 0.0 for run in runs for record in run.records)
            reason = next((record.reason for run in runs for record in run.records if record.status == "skipped"), None)
            say(f"{name}: {reason or f'compiled kernels for {compiled:.1f} s'}", err=True)
