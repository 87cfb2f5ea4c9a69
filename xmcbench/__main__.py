"""`python -m xmcbench`."""

from __future__ import annotations

from xmcbench.cli.main import main

main()
