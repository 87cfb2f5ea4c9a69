"""`xmcbench serve`: labels of new texts over HTTP."""

from __future__ import annotations

import socket
from typing import Annotated

import typer

from xmcbench.cli.model import MODEL, DatasetName, say_if_replaced
from xmcbench.cli.options import RESULTS, Results
from xmcbench.cli.terminal import say
from xmcbench.errors import UsageError, install_extra


def serve(
    model: Annotated[str, MODEL],
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free port.")] = 8000,
    host: Annotated[str, typer.Option(help="Address to bind; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    dataset: DatasetName = None,
    results: Results = RESULTS,
) -> None:
    """Serve a model over HTTP, to programs and people.

    Programs POST to /predict, people get a form at /. There is no login: mind who can reach it.

    Example: `xmcbench serve model-folder`, then `curl http://127.0.0.1:8000/predict -d '{"text": "no dial tone"}'`
    """
    try:
        import uvicorn

        from xmcbench.serve.app import create_app
    except ImportError as error:
        raise UsageError(f"serving needs the package {error.name}", install_extra("serve")) from error
    from xmcbench.models.folder import find_model
    from xmcbench.records.store import Store

    fitted = find_model(model, Store(results), dataset)
    say_if_replaced(model, fitted.card)
    if fitted.reads_texts:
        fitted.predict(["warm up"])  # loads kernels before the first request
    listening = _listening(host, port)
    shown = f"[{host}]" if ":" in host else host
    say(f"serving {fitted.card.method.label} on http://{shown}:{listening.getsockname()[1]} (Ctrl-C stops)", err=True)
    config = uvicorn.Config(create_app(fitted), log_level="warning", access_log=False, timeout_graceful_shutdown=5)
    uvicorn.Server(config).run(sockets=[listening])


def _listening(host: str, port: int) -> socket.socket:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)  # from now on, clients wait instead of being refused
    except OSError as error:
        hint = "Is another server running? Give another --port, or 0 for any free one."
        raise UsageError(f"can't listen on {host}, port {port} ({error.strerror or error})", hint) from error
    return listening
