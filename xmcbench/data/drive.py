"""Web pages instead of files: how to recognise them, and Google Drive's pages that lead to a file or refuse one."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

if TYPE_CHECKING:
    from requests import Response, Session

BASE = "https://drive.google.com"  # tests replace it by the URL of a local server
PAGE_LIMIT = 1 << 20  # bytes of a page that are read
TITLE = 80  # maximum characters of a page's title in a message
_QUOTA_PHRASES = ("quota exceeded", "too many users have viewed or downloaded", "download quota")


def page_in(start: bytes) -> str | None:
    """What web page begins with these bytes, such as "a web page ('Quota exceeded')"; None if they are no page."""
    text = start[:PAGE_LIMIT].decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    if not (text.startswith("<") and re.search(r"<(!doctype html|html|head)\b", text[:4096], re.IGNORECASE)):
        return None
    title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
    words = " ".join(html.unescape(title[1]).split())[:TITLE] if title else ""
    return f"a web page ({words!r})" if words else "a web page"


class Refused(Exception):
    """Drive answered with a page that does not lead to the file; the text gives the reason."""


def browser_url(spec: str) -> str:
    """The URL at which a person can download the file "ID" or "ID?resourcekey=KEY" by hand."""
    file_id, key = _parts(spec)
    return f"https://drive.google.com/file/d/{file_id}/view" + (f"?resourcekey={key}" if key else "")


def open_file(session: Session, spec: str, headers: dict[str, str], timeout: tuple[float, float]) -> Response:
    """A streaming response with the file itself; submits Drive's confirmation page if there is one.

    Refused if the quota is used up, the file is not public any more, or Drive sent an unknown page.
    """
    file_id, key = _parts(spec)
    query = {"export": "download", "id": file_id} | ({"resourcekey": key} if key else {})
    response = session.get(f"{BASE}/uc?{urlencode(query)}", headers=headers, stream=True, timeout=timeout)
    for _ in range(2):  # one confirmation page is normal; two are tolerated
        if not is_page(response):
            return response
        text = response.raw.read(PAGE_LIMIT, decode_content=True).decode("utf-8", "replace")
        response.close()
        url = _next_url(text, response.url)
        response = session.get(url, headers=headers, stream=True, timeout=timeout)
    if is_page(response):
        response.close()
        raise Refused("Google Drive keeps asking for a confirmation")
    return response


def is_page(response: Response) -> bool:
    """Whether the response is a web page instead of a file."""
    return response.ok and response.headers.get("Content-Type", "").lower().startswith("text/html")


def _parts(spec: str) -> tuple[str, str]:
    file_id, _, query = spec.partition("?")
    return file_id, parse_qs(query).get("resourcekey", [""])[0]


def _next_url(text: str, page_url: str) -> str:
    lowered = text.lower()
    if any(phrase in lowered for phrase in _QUOTA_PHRASES):
        raise Refused("Google Drive's download quota for this file is used up for today: try again tomorrow")
    if "accounts.google.com" in urlsplit(page_url).netloc or "servicelogin" in lowered:
        raise Refused("Google Drive requires a login: the file is not public any more")
    page = _Page()
    page.feed(text)
    if page.action is None:
        page_sent = page_in(text.encode()) or "a web page"
        raise Refused(f"Google Drive sent {page_sent} without a download form instead of the file")
    url = urljoin(page_url, page.action)
    if page.fields:
        url += ("&" if urlsplit(url).query else "?") + urlencode(page.fields)
    host = urlsplit(url).hostname or ""
    if host != urlsplit(BASE).hostname and not host.endswith((".google.com", ".googleusercontent.com")):
        raise Refused(f"Google Drive's page leads to another site, {urlsplit(url).netloc}")
    return url


class _Page(HTMLParser):
    """Parser for the download form's action and hidden inputs; on older pages for the link uc-download-link."""

    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self._in_form = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {key: value or "" for key, value in attrs}
        if tag == "form" and values.get("id") in ("download-form", "downloadForm"):
            self.action, self._in_form = values.get("action", ""), True
        elif tag == "input" and self._in_form and values.get("type") == "hidden" and values.get("name"):
            self.fields[values["name"]] = values.get("value", "")
        elif tag == "a" and values.get("id") == "uc-download-link" and self.action is None:
            self.action = values.get("href", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._in_form = False
