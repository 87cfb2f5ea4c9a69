"""The supported peers and their versions."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass

from xmcbench.errors import XmcError


@dataclass(frozen=True)
class Peer:
    """Somebody else's program that runs as a method.

    Attributes
    ----------
    name : the name of the method, and the argument of `xmcbench peers install`.
    distribution, version : the distribution to install, at the version xmcbench was tested with.
    apart : the peer conflicts with our dependencies and is installed into a separate environment.
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
    """The installed version, or None; nothing is imported."""
    if PEERS[name].apart:
        from xmcbench.peers import environment

        return environment.ready()
    try:
        return importlib.metadata.version(PEERS[name].distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def missing(name: str) -> str | None:
    """The reason for `Method.skip` if the peer isn't installed, else None."""
    peer = PEERS[name]
    if installed(name) is not None:
        return None
    return f"{peer.distribution} {peer.version} is not installed: run `xmcbench peers install {name}`"


def require(name: str) -> None:
    """XmcError if the peer isn't installed; for callers that did not call `skip`."""
    if (reason := missing(name)) is not None:
        raise XmcError(f"{name}: {reason}")
