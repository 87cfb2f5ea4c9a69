"""Data sets: a catalogue of facts, fetching with checks, readers, and a memory-mapped cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xmcbench.context import Reporter
    from xmcbench.data.spec import Dataset


def load(name: str, view: str | None = None, *, offline: bool = False, progress: Reporter | None = None) -> Dataset:
    """A data set by name: fetched and parsed at the first call, opened from the cache after that.

    Parameters
    ----------
    name : of the catalogue, of an imported data set, or "synthetic[labels=100000,rows=50000,seed=1]".
    view : of the entry's views; None is its default.
    offline : use what lies on this machine and in `XMCBENCH_MIRROR`; no network.
    progress : told the phases of fetching and parsing.

    Raises
    ------
    UsageError : unknown name (the nearest is offered) or view.
    DataError : a file can't be had, or is damaged, or the cache can't be written.
    """
    from xmcbench.data.loading import load as really_load

    return really_load(name, view, offline=offline, progress=progress)
