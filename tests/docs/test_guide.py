"""Every command of the user guide runs, in its order, as a reader would type it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
# A reader's own environment takes the plugin; here a folder does, and nothing is fetched for it.
PIP = '#!/bin/sh\nexec "{python}" -m pip "$@" --quiet --no-deps --no-build-isolation --target "{site}"\n'


def blocks() -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```$", GUIDE, re.M | re.S)


@pytest.mark.skipif(os.name == "nt", reason="the guide's commands are those of a Unix shell")
def test_the_guide_from_top_to_bottom(tmp_path: Path) -> None:
    tools, site, work = tmp_path / "bin", tmp_path / "site", tmp_path / "work"
    for folder in (tools, site, work):
        folder.mkdir()
    (tools / "pip").write_text(PIP.format(python=sys.executable, site=site))
    (tools / "pip").chmod(0o755)
    for name in ("python3", "xmcbench"):
        (tools / name).symlink_to(Path(sys.executable).parent / name)
    path = os.pathsep.join([str(tools), os.environ["PATH"]])
    inherited = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PATH": path, "PYTHONPATH": os.pathsep.join(inherited)}
    environment |= {"XMCBENCH_HOME": str(tmp_path / "home"), "COLUMNS": "160"}
    environment.pop("XMCBENCH_RESULTS", None)
    script = "set -eu\n" + "\n".join(blocks())
    done = subprocess.run(["bash", "-c", script], cwd=work, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert (work / "leaderboards" / "README.md").is_file()
    board = "\n".join(p.read_text() for p in (work / "leaderboards" / "tables").glob("*.md"))
    for label in ("My first try", "mymethod", "tree", "popularity (floor)"):
        assert f"| {label} |" in board


def test_commands_outside_the_blocks_are_few_and_known() -> None:
    shown = re.findall(r"^ {4}(xmcbench .*)$", GUIDE, re.M)
    assert shown == ["xmcbench check scores"]  # run by an environment of tox
