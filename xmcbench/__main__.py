"""`python -m xmcbench`."""

from __future__ import annotations

from xmcbench.cli.app import main

main()
