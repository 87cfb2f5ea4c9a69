"""One server for all tests of this folder, and the browser."""

from tests.board.browser import browser  # noqa: F401
from tests.serve.server import model, url  # noqa: F401
