"""Install the two wheels into an empty environment, outside the source tree, and run from there.

python tests/wheels.py FOLDER      FOLDER/dist holds the wheels
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path


def main(folder: Path) -> None:
    wheels = [str(path) for path in sorted((folder / "dist").glob("*.whl"))]
    assert len(wheels) == 2, wheels
    venv.create(folder / "empty", with_pip=True, clear=True)
    scripts = folder / "empty" / ("Scripts" if os.name == "nt" else "bin")
    subprocess.run([scripts / "python", "-m", "pip", "install", "--quiet", *wheels], check=True)
    away = folder / "away"
    away.mkdir(exist_ok=True)
    environment = {**os.environ, "XMCBENCH_HOME": str(folder / "home")}
    names = ["elias", "tree", "popularity"]
    settings = ["--dataset", "synthetic[labels=60,rows=400,test=80]", "--set", "elias.stage1_epochs=1"]
    command = [
        scripts / "xmcbench",
        "run",
        *names,
        *settings,
        "--results",
        str(folder / "results"),
        "--json",
        "--again",
    ]
    done = subprocess.run(command, cwd=away, env=environment, check=True, capture_output=True, text=True)
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted(r["method"]["name"] for r in records) == sorted(names), done.stdout
    for record in records:
        assert record["status"] == "ok", record["reason"]
        print(record["method"]["label"], {m["name"]: m["value"] for m in record["metrics"][:3]})


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
