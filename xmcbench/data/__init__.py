"""Data sets: a catalogue of facts, fetching with checks, readers, and a memory-mapped cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xmcbench.context import Reporter
    from xmcbench.data.spec import Dataset


def load(
    name: str,
    view: str | None = None,
    *,
    offline: bool = False,
    progress: Reporter | None = None,
    verify: bool = False,
) -> Dataset:
    """Return a data set by name. The first call fetches and parses it; later calls open the cache.

    Parameters
    ----------
    name : a name of the catalogue, of an imported data set, or "synthetic[labels=100000,rows=50000,seed=1]".
    view : one of the entry's views; None is the default view.
    offline : use only files on this machine and in `XMCBENCH_MIRROR`; no network.
    progress : receives the phases of fetching and parsing.
    verify : hash the cached files and compute the content hash again, even of files that did not change since they were
        last hashed. A damaged cache is parsed again, with a warning, in either case.

    Returns
    -------
    Dataset : its splits, label texts, and what metrics need.

    Raises
    ------
    UsageError : unknown name (the message suggests the nearest one) or unknown view.
    DataError : a file is unavailable or damaged, or the cache can't be written.

    Examples
    --------
    >>> from xmcbench import load
    >>> load("synthetic[labels=60,rows=100,test=20]")
    <synthetic[rows=100,test=20,labels=60] (bow): 100 training and 20 test rows, 60 labels>
    """
    from xmcbench.data.loading import load as load_dataset

    return load_dataset(name, view, offline=offline, progress=progress, verify=verify)
