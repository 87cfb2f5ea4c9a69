"""One server for all tests of this folder."""

from tests.serve.server import model, url  # noqa: F401
