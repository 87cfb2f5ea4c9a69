"""A small web server on this machine that misbehaves on demand, for tests of fetching."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

CONFIRM = """<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head><body>
<form id="download-form" action="{action}" method="get">
<input type="submit" id="uc-download-link" value="Download anyway"/>
<input type="hidden" name="id" value="{id}"><input type="hidden" name="export" value="download">
<input type="hidden" name="confirm" value="t"><input type="hidden" name="uuid" value="u-1&amp;2">
</form></body></html>"""
QUOTA = """<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head><body>
<p>Sorry, you can't view or download this file at this time.</p>
<p>Too many users have viewed or downloaded this file recently.</p></body></html>"""


@dataclass
class Resource:
    """One path: its bytes, and what goes wrong with it."""

    content: bytes
    ranges: bool = True  # answer Range requests
    etag: str | None = '"v1"'
    length: bool = True  # announce Content-Length
    cut_after: list[int] = field(default_factory=list)  # one answer each: close after so many bytes
    statuses: list[int] = field(default_factory=list)  # one answer each, before the real ones
    kind: str = "application/octet-stream"
    pause: float = 0.0  # seconds between pieces of 64 KiB
    retry_after: str = ""  # header of the answers in `statuses`


class Server:
    """`with Server() as server`: `server.url`, `server.resources[path]`, `server.log` of (path, Range header)."""

    def __init__(self) -> None:
        self.resources: dict[str, Resource] = {}
        self.pages: dict[str, Callable[[BaseHTTPRequestHandler, dict[str, list[str]]], None]] = {}
        self.log: list[tuple[str, str | None]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                path = urlsplit(self.path)
                outer.log.append((self.path, self.headers.get("Range")))
                try:
                    if path.path in outer.pages:
                        outer.pages[path.path](self, parse_qs(path.query))
                    elif path.path in outer.resources:
                        send(self, outer.resources[path.path])
                    else:
                        self.send_error(404)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._httpd.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._httpd.server_port}"

    def __enter__(self) -> Server:
        threading.Thread(target=self._httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._httpd.shutdown()
        self._httpd.server_close()

    def add(self, path: str, content: bytes, **how: object) -> str:
        """Serve `content`; returns its address."""
        self.resources[path] = Resource(content, **how)  # type: ignore[arg-type]
        return self.url + path

    def add_drive(
        self, file_id: str, content: bytes, *, confirm: bool = True, quota: bool = False, **how: object
    ) -> None:
        """Serve a Drive file: /uc answers with the page, /download with the file once confirmed and with the cookie."""
        resource = Resource(content, **how)  # type: ignore[arg-type]

        def uc(handler: BaseHTTPRequestHandler, query: dict[str, list[str]]) -> None:
            if query.get("id") != [file_id]:
                handler.send_error(404)
            elif quota:
                page(handler, QUOTA)
            elif confirm:
                page(handler, CONFIRM.format(action=self.url + "/download", id=file_id), cookie="seen=yes")
            else:
                send(handler, resource)

        def confirmed(handler: BaseHTTPRequestHandler, query: dict[str, list[str]]) -> None:
            wanted = {"id": [file_id], "export": ["download"], "confirm": ["t"], "uuid": ["u-1&2"]}
            if query == wanted and "seen=yes" in handler.headers.get("Cookie", ""):
                send(handler, resource)
            else:
                handler.send_error(403)

        self.pages["/uc"], self.pages["/download"] = uc, confirmed


def page(handler: BaseHTTPRequestHandler, text: str, cookie: str = "") -> None:
    body = text.encode()
    handler.send_response(200)
    handler.send_header("Content-Type", "text/html; charset=utf-8")
    handler.send_header("Content-Length", str(len(body)))
    if cookie:
        handler.send_header("Set-Cookie", cookie)
    handler.end_headers()
    handler.wfile.write(body)


def send(handler: BaseHTTPRequestHandler, resource: Resource) -> None:
    if resource.statuses:
        handler.send_response(resource.statuses.pop(0))
        handler.send_header("Retry-After", resource.retry_after)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return
    content, start, total = resource.content, 0, len(resource.content)
    asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    date = formatdate(0, usegmt=True)
    same = handler.headers.get("If-Range") in (None, resource.etag, date)
    if asked and resource.ranges and same:
        start = int(asked[1])
        if start >= total:
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{total}")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
    else:
        handler.send_response(200)
    handler.send_header("Content-Type", resource.kind)
    handler.send_header("Last-Modified", date)
    if resource.etag:
        handler.send_header("ETag", resource.etag)
    if resource.length:
        handler.send_header("Content-Length", str(total - start))
    else:
        handler.send_header("Connection", "close")
        handler.close_connection = True
    handler.end_headers()
    stop = start + resource.cut_after.pop(0) if resource.cut_after else total
    for at in range(start, min(stop, total), 1 << 16):
        handler.wfile.write(content[at : min(at + (1 << 16), stop)])
        handler.wfile.flush()
        if resource.pause:
            time.sleep(resource.pause)
    if stop < total:
        handler.close_connection = True
