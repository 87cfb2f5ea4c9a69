"""Build a wheel of every distribution here, install them into an empty environment, and run from there.

python tests/wheels.py FOLDER      for wheels, environment and results
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from plugins import PLUGINS, ROOT


def main(folder: Path) -> None:
    built = folder / "dist"
    shutil.rmtree(built, ignore_errors=True)
    for source in (ROOT, *PLUGINS):
        subprocess.run([sys.executable, "-m", "build", "--wheel", "--outdir", built, source], check=True)
    wheels = [str(path) for path in sorted(built.glob("*.whl"))]
    assert len(wheels) == 1 + len(PLUGINS), wheels
    venv.create(folder / "empty", with_pip=True, clear=True)
    scripts = folder / "empty" / ("Scripts" if os.name == "nt" else "bin")
    subprocess.run([scripts / "python", "-m", "pip", "install", "--quiet", *wheels], check=True)
    away = folder / "away"
    away.mkdir(exist_ok=True)
    environment = {**os.environ, "XMCBENCH_HOME": str(folder / "home")}
    names = [*(plugin.name for plugin in PLUGINS), "tree", "popularity"]
    settings = ["--dataset", "synthetic[labels=60,rows=400,test=80]", "--results", str(folder / "results")]
    command = [scripts / "xmcbench", "run", *names, *settings, "--json", "--again"]
    done = subprocess.run(command, cwd=away, env=environment, check=True, capture_output=True, text=True)
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted(r["method"]["name"] for r in records) == sorted(names), done.stdout
    for record in records:
        assert record["status"] == "ok", record["reason"]
        print(record["method"]["label"], {m["name"]: m["value"] for m in record["metrics"][:3]})
    shutil.rmtree(folder / "empty")  # of 2 GB


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
