"""Requests are read as a whole, within limits of size and time, before anything decodes them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fastapi.responses import JSONResponse

MOST_BYTES = 1 << 24  # of a request
READ_SECONDS = 30  # for the body of a request

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class WholeBodies:
    """ASGI middleware: `app` gets each body as one message; a client that leaves before its end is forgotten."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > MOST_BYTES:
            await _refuse(413, f"a request of {int(declared):,} bytes; at most {MOST_BYTES:,} are read")(
                scope, receive, send
            )
            return
        try:
            async with asyncio.timeout(READ_SECONDS):
                body = await _whole(receive)
        except TimeoutError:
            await _refuse(408, f"the request was not complete within {READ_SECONDS} s")(scope, receive, send)
            return
        if body is None:
            return
        if len(body) > MOST_BYTES:
            await _refuse(413, f"more than {MOST_BYTES:,} bytes")(scope, receive, send)
            return
        messages = iter([{"type": "http.request", "body": bytes(body), "more_body": False}])

        async def whole() -> Message:
            return next(messages, None) or await receive()

        await self.app(scope, whole, send)


async def _whole(receive: Receive) -> bytearray | None:
    """The body, no further than the first message beyond `MOST_BYTES`; None if the client left."""
    body = bytearray()
    while len(body) <= MOST_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    return body


def error_answer(status: int, message: str, hint: str) -> JSONResponse:
    """What a client gets that is refused."""
    return JSONResponse({"error": message, "hint": hint}, status)


def _refuse(status: int, message: str) -> JSONResponse:
    return error_answer(status, message, "Send fewer texts at once." if status == 413 else "Send it again.")
