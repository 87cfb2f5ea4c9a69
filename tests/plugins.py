"""Install every plugin of this tree in the present environment: editable, with what its tests need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))  # of a distribution each


def main() -> None:
    named = [part for folder in PLUGINS for part in ("-e", f"{folder}[test]")]
    if named:
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *named], check=True)


if __name__ == "__main__":
    main()
