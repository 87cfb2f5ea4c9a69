"""Which peers there are, at which version, and how each is had."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass

from xmcbench.errors import XmcError


@dataclass(frozen=True)
class Peer:
    """A program beside ours.

    Attributes
    ----------
    name : of the method, and what `xmcbench peers install` takes.
    distribution, version : what is installed; its defaults and its scores were looked at in this version.
    apart : it can't live in our environment and gets one of its own.
    """

    name: str
    distribution: str
    version: str
    apart: bool = False


PEERS = {
    peer.name: peer
    for peer in (
        Peer("omikuji", "omikuji", "0.5.2"),
        Peer("napkinxc", "napkinxc", "0.7.2"),
        Peer("pecos", "libpecos", "1.2.8", apart=True),
    )
}


def installed(name: str) -> str | None:
    """The version that is there, or None; nothing is imported."""
    if PEERS[name].apart:
        from xmcbench.peers import environment

        return environment.ready()
    try:
        return importlib.metadata.version(PEERS[name].distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def missing(name: str) -> str | None:
    """The sentence for `Method.skip` where a peer isn't installed, else None."""
    peer = PEERS[name]
    if installed(name) is not None:
        return None
    return f"{peer.distribution} {peer.version} is not installed: run `xmcbench peers install {name}`"


def require(name: str) -> None:
    """For those who come past `skip`, with a model from elsewhere or from Python.

    Raises
    ------
    XmcError : the peer isn't installed.
    """
    sentence = missing(name)
    if sentence is not None:
        raise XmcError(f"{name}: {sentence}")
