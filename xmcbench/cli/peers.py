"""`xmcbench peers`: other people's programs to compare with: what is there, and how it gets there."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from xmcbench.errors import UsageError, XmcError, unknown

peers_app = typer.Typer(
    help="Other people's programs as methods: omikuji, napkinXC, PECOS.", no_args_is_help=True, rich_markup_mode=None
)


@peers_app.command("list")
def list_(as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False) -> None:
    """Show which peers are installed, and where."""
    from xmcbench.cli.plain import columns
    from xmcbench.peers import environment
    from xmcbench.peers.packages import PEERS, installed

    found = {name: installed(name) for name in PEERS}
    places = {name: str(environment.folder()) if peer.apart else "this environment" for name, peer in PEERS.items()}
    if as_json:
        rows = [{"name": n, "installed": found[n], "wanted": p.version, "in": places[n]} for n, p in PEERS.items()]
        typer.echo(json.dumps(rows, indent=1))
        return
    lines = []
    for name, peer in PEERS.items():
        other = "" if found[name] in (None, peer.version) else f"; xmcbench was tested with {peer.version}"
        there = f"{peer.distribution} {found[name]}, in {places[name]}{other}"
        lines.append((name, there if found[name] else f"not installed: `xmcbench peers install {name}`"))
    typer.echo(columns(lines))


@peers_app.command()
def install(
    names: Annotated[list[str] | None, typer.Argument(help="omikuji, napkinxc, pecos; all three if left out.")] = None,
) -> None:
    """Install peers at the versions xmcbench was tested with.

    omikuji and napkinxc go into this environment by pip. PECOS wants an older numpy and gets an environment of its own
    in the home folder, of two gigabytes: it brings PyTorch.

    Examples:

      xmcbench peers install omikuji

      xmcbench peers install && xmcbench run omikuji napkinxc pecos --dataset eurlex-4.3k
    """
    from xmcbench.peers import environment
    from xmcbench.peers.packages import PEERS, installed

    for name in names or PEERS:
        if name not in PEERS:
            raise unknown("peer", name, PEERS)
    for name in dict.fromkeys(names or PEERS):
        peer = PEERS[name]
        if peer.apart:
            done = environment.install(lambda step: typer.echo(step, err=True))
        else:
            done = installed(name) != peer.version
            if done:
                _pip(f"{peer.distribution}=={peer.version}")
        typer.echo(f"{name}: {peer.distribution} {peer.version}{'' if done else ' was there'}")


@peers_app.command()
def remove(name: Annotated[str, typer.Argument(help="pecos, the one with an environment of its own.")]) -> None:
    """Delete the environment of a peer that has one."""
    from xmcbench.peers import environment
    from xmcbench.peers.packages import PEERS

    if name not in PEERS:
        raise unknown("peer", name, PEERS)
    if not PEERS[name].apart:
        raise UsageError(f"{name} lives in this environment", f"pip uninstall {PEERS[name].distribution}")
    typer.echo(f"{name}: {'removed' if environment.remove() else 'was not there'}")


def _pip(requirement: str) -> None:
    """pip into the environment that runs, by pip's own configuration of where packages come from."""
    import importlib.util
    import subprocess
    import sys

    if importlib.util.find_spec("pip") is None:
        raise XmcError(
            f"this environment has no pip to install {requirement}",
            "Install the extra with what made the environment: xmcbench[peers].",
        )
    typer.echo(f"pip install {requirement}", err=True)
    done = subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", requirement])
    if done.returncode:
        raise XmcError(f"pip could not install {requirement}; what it said is above")
