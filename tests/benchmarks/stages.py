"""Peak memory and CPU seconds of every stage between a data set's files and a run, each in a process of its own.

    python tests/benchmarks/stages.py [--json] [--dataset NAME] [--only STAGE,…]

make             the data set from its parameters
cache            the same, then written to the cache, hashed, validated and opened again
open             opened from the cache, with all files hashed and validated (--verify)
validate         its checks and counts
hash             its content hash
near-groups      the groups of near-duplicates among test rows
near-duplicates  the test rows with a near-duplicate in train, as recipes ask for them
propensities     inverse propensities of all labels
write-xmc        train.txt and test.txt in XMC text, as the official archive has them
read-xmc         the two read again
import           the two as `data import`, then opened
import-again     the same with --replace, which compares the rows
write-lf         the official files of a label-feature data set, raw texts included
read-lf          the texts read again, by the recipe of those data sets

`ratio` is the most memory of the process, above that after the same stage on a tiny data set, over the bytes of the
arrays and texts of the data set (for read-xmc, import and read-lf: of what they return). Pages of files that are mapped
count, where they were touched. The limit is that of the project.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

LIMIT = 1.3
TINY = "synthetic[rows=300,test=100,labels=100,features=300]"
STAGES = (
    *("make", "cache", "open", "validate", "hash", "near-groups", "near-duplicates", "propensities"),
    *("write-xmc", "read-xmc", "import", "import-again", "write-lf", "read-lf"),
)


def size_of(parsed: Any) -> int:
    """Bytes of the arrays and texts of a data set."""
    from xmcbench.data.cache import arrays

    return sum(array.nbytes for _, array in arrays(parsed))


def stage_of(name: str) -> Callable[[str, Path], Any]:
    """The stage as a function of a data set's name and a folder for its files; returns what it read or made."""
    from xmcbench.data import load, synthetic
    from xmcbench.data.cache import content_hash
    from xmcbench.data.folders import export
    from xmcbench.data.importing import import_files
    from xmcbench.data.matrix_text import read_xmc
    from xmcbench.data.near import near_duplicates
    from xmcbench.data.recipes import recipe
    from xmcbench.data.spec import Parsed, Split
    from xmcbench.data.validate import validate
    from xmcbench.metrics.propensity import inverse_propensity

    def loaded(work: Callable[[Any], Any]) -> Callable[[str, Path], Any]:
        def run(data_name: str, folder: Path) -> Any:
            data = load(data_name, offline=True)
            work(data)
            return data

        return run

    def written(matrices: str) -> Callable[[str, Path], Any]:
        return lambda name, folder: loaded(lambda data: export(data, folder / matrices, matrices=matrices))(
            name, folder
        )

    def read(name: str, folder: Path) -> Any:
        splits = [read_xmc(folder / "xmc" / file) for file in ("train.txt", "test.txt")]
        return Parsed(*(Split(features, None, labels) for features, labels in splits))

    def imported(name: str, folder: Path) -> Any:
        from xmcbench.data.importing import Plan
        from xmcbench.data.user_files import SplitFiles

        files = [SplitFiles(features=folder / "xmc" / file) for file in ("train.txt", "test.txt")]
        import_files(f"stages-{folder.name}", Plan(*files), replace=True)
        return load(f"stages-{folder.name}", offline=True)

    def read_lf(name: str, folder: Path) -> Any:
        roles = {"train_json": "trn.json.gz", "test_json": "tst.json.gz", "label_json": "lbl.json.gz"}
        files = {role: folder / "lf" / file for role, file in roles.items()}
        return recipe("xc_lf").run(files, "text", {"text_fields": ["title"]})

    def propensities(data: Any) -> None:
        import numpy as np

        counts = np.bincount(data.train.labels.indices, minlength=data.n_labels)
        inverse_propensity(counts, data.train.labels.shape[0], *data.propensity)

    stages: dict[str, Callable[[str, Path], Any]] = {
        "make": lambda name, folder: synthetic.make(synthetic.parameters(name)),
        "cache": loaded(lambda data: None),
        "open": lambda name, folder: load(name, offline=True, verify=True),
        "validate": loaded(lambda data: validate(data, "data")),
        "hash": loaded(content_hash),
        "near-groups": loaded(lambda data: data.near_groups),
        "near-duplicates": loaded(lambda data: near_duplicates(data.test.features, data.train.features)),
        "propensities": loaded(propensities),
        "write-xmc": written("xmc"),
        "read-xmc": read,
        "import": imported,
        "import-again": imported,
        "write-lf": written("lf"),
        "read-lf": read_lf,
    }
    return stages[name]


def memory(field: str) -> int:
    """A field of this process's memory in bytes: VmRSS is that of now, VmHWM the most so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) * 1024


def measure(stage: str, name: str, folder: Path) -> dict[str, float]:
    """Run in a new process: the stage on a tiny data set, then on the real one."""
    run = stage_of(stage)
    run(TINY, folder / "tiny")
    before, start, cpu = memory("VmRSS"), time.perf_counter(), time.process_time()
    result = run(name, folder / "real")
    used, seconds, cpu_seconds = memory("VmHWM") - before, time.perf_counter() - start, time.process_time() - cpu
    return {"cpu_seconds": cpu_seconds, "seconds": seconds, "peak": used, "ratio": used / size_of(result)}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--json", action="store_true", help="print one JSON object")
    options.add_argument("--dataset", default="synthetic[preset=amazon-670k-tenth,texts=true]")
    options.add_argument("--only", default=",".join(STAGES), help="stages, in the order of the list above")
    options.add_argument("--folder", type=Path, help="keep files here, for later stages; default: a temporary folder")
    options.add_argument("--measure", choices=STAGES, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.measure:
        print(json.dumps(measure(chosen.measure, chosen.dataset, chosen.folder)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.folder or Path(temporary)
        environment = {**os.environ, "XMCBENCH_HOME": str(folder / "home")}
        found = {}
        if not chosen.json:
            print(f"{'stage':<16}{'CPU s':>8}{'s':>8}{'peak MB':>9}{'ratio':>7}")
        for stage in chosen.only.split(","):
            for part in ("tiny", "real"):
                (folder / part).mkdir(parents=True, exist_ok=True)
            command = [
                sys.executable,
                __file__,
                "--measure",
                stage,
                "--dataset",
                chosen.dataset,
                "--folder",
                str(folder),
            ]
            output = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
            found[stage] = values = json.loads(output.splitlines()[-1])
            if not chosen.json:
                exceeds = "  above the limit" if values["ratio"] > LIMIT else ""
                numbers = f"{values['cpu_seconds']:>8.1f}{values['seconds']:>8.1f}{values['peak'] / 1e6:>9.0f}"
                print(f"{stage:<16}{numbers}{values['ratio']:>7.2f}{exceeds}", flush=True)
    if chosen.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
