"""`xmcbench peers`: list, install and remove peers."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from xmcbench.cli.options import AsJson
from xmcbench.cli.terminal import columns
from xmcbench.errors import UsageError, XmcError, unknown

if TYPE_CHECKING:
    from xmcbench.peers.packages import Peer

peers_app = typer.Typer(help="Peers (other programs as methods): omikuji, napkinXC, PECOS.", no_args_is_help=True)


@peers_app.command("list")
def list_(as_json: AsJson = False) -> None:
    """Show which peers are installed, and where."""
    from xmcbench.peers import environment
    from xmcbench.peers.packages import PEERS, installed

    rows, lines = [], []
    for name, peer in PEERS.items():
        version = installed(name)
        place = str(environment.folder()) if peer.apart else "this environment"
        rows.append({"name": name, "installed": version, "wanted": peer.version, "in": place})
        note = "" if version == peer.version else f"; xmcbench was tested with {peer.version}"
        text = f"{peer.distribution} {version}, in {place}{note}"
        lines.append((name, text if version else f"not installed: `xmcbench peers install {name}`"))
    typer.echo(json.dumps(rows, indent=1) if as_json else columns(lines))


@peers_app.command()
def install(
    names: Annotated[list[str] | None, typer.Argument(help="omikuji, napkinxc, pecos. Default: all.")] = None,
) -> None:
    """Install peers at the versions xmcbench was tested with.

    pip installs omikuji and napkinxc into this environment. PECOS needs an older numpy and gets a separate environment
    in the home folder, which takes two gigabytes because it includes PyTorch.

    Examples: `xmcbench peers install omikuji` · `xmcbench peers install && xmcbench run omikuji napkinxc pecos`
    """
    from xmcbench.peers import environment
    from xmcbench.peers.packages import PEERS, installed

    for name, peer in {name: _peer(name) for name in names or PEERS}.items():
        if peer.apart:
            changed = environment.install(lambda step: typer.echo(step, err=True))
        elif changed := installed(name) != peer.version:
            _pip(f"{peer.distribution}=={peer.version}")
        typer.echo(f"{name}: {peer.distribution} {peer.version}{'' if changed else ' was already installed'}")


@peers_app.command()
def remove(name: Annotated[str, typer.Argument(help="pecos, the only peer with a separate environment.")]) -> None:
    """Delete the separate environment of a peer."""
    from xmcbench.peers import environment

    if not _peer(name).apart:
        raise UsageError(f"{name} is installed in this environment", f"Run: pip uninstall {_peer(name).distribution}")
    typer.echo(f"{name}: {'removed' if environment.remove() else 'was not installed'}")


def _peer(name: str) -> Peer:
    from xmcbench.peers.packages import PEERS

    if name not in PEERS:
        raise unknown("peer", name, PEERS)
    return PEERS[name]


def _pip(requirement: str) -> None:
    """Install a requirement into the running environment with pip and its configuration."""
    if importlib.util.find_spec("pip") is None:
        hint = f"Install {requirement} with the tool that created this environment."
        raise XmcError(f"this environment has no pip to install {requirement}", hint)
    typer.echo(f"pip install {requirement}", err=True)
    process = subprocess.run([sys.executable, "-P", "-m", "pip", "install", "--quiet", requirement])
    if process.returncode:
        raise XmcError(f"pip could not install {requirement}; its output is above", "Is there a network connection?")
