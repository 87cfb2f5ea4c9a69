"""What is attacked: commands on tiny data, each in a folder of its own with a home, results and leaderboards."""

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from children import Act, child

TINY = "synthetic[rows=120,test=30,labels=30,features=200]"
ELIAS = "elias[width=8,dual_epochs=1,stage1_epochs=1,stage2_epochs=1]"
ANCE = "ance[width=8,epochs=2,warm_up=1]"
METHODS = {"elias": ELIAS, "ance": ANCE, "tree": "tree", "ovr": "ovr"}


@dataclass(frozen=True)
class Scene:
    """A command that is attacked.

    Attributes
    ----------
    act : the command, in a folder with `home` as XMCBENCH_HOME; it raises SystemExit as a command does.
    prepare : makes what the command needs, once.
    done : texts with which a repetition may say that there is nothing left to do, beside exit code 0.
    between : a command that must succeed after a kill, before the repetition; None if there is none.
    share : of points and time, relative to other scenes.
    """

    act: Act
    prepare: Act = lambda: None
    done: tuple[str, ...] = ()
    between: Act | None = None
    share: int = 1


def command(*words: str) -> None:
    """Run `xmcbench WORDS` in this process."""
    from xmcbench.cli.main import main

    sys.argv = ["xmcbench", *words]
    main()


def run(*methods: str, results: str = "results", seeds: str = "0") -> None:
    """Run methods on the tiny data set, on one thread."""
    command("run", *methods, "--dataset", TINY, "--threads", "1", "--results", results, "--seeds", seeds)


def _text_files(seed: int = 0) -> None:
    dice = random.Random(seed)
    rows = [(" ".join(f"w{dice.randrange(40)}" for _ in range(8)), f"l{dice.randrange(6)}") for _ in range(80)]
    Path("texts.txt").write_text("".join(f"{text}\n" for text, _ in rows))
    Path("labels.txt").write_text("".join(f"{label}\n" for _, label in rows))


def _import(*more: str) -> None:
    command("data", "import", "--name", "mine", "--texts", "texts.txt", "--labels", "labels.txt", *more)


def _replace_prepared() -> None:
    _text_files(1)
    quietly(_import)
    quietly(lambda: command("data", "stats", "mine"))
    _text_files(2)


def _fetch_prepared() -> None:
    with zipfile.ZipFile("toy.zip", "w") as file:
        file.writestr("Toy/train.txt", "2 3 2\n0 1:0.5 2:1.0\n1 0:1.0\n")
        file.writestr("Toy/test.txt", "1 3 2\n0,1 1:0.5\n")


def _fetch() -> None:
    """Download an archive from this machine, and unpack two files whose hashes are recorded."""
    import msgspec

    from xmcbench.data.catalogue import File, Form, entry
    from xmcbench.data.fetch import fetch_files
    from xmcbench.data.home import sweep_home

    sweep_home()  # as `xmcbench data fetch` does first
    url = os.environ["ATTACK_URL"] + "/toy.zip"
    form = Form(
        "xc", ("bow",), (File("train", "train.txt"), File("test", "test.txt")), File("archive", "Toy.zip", (url,))
    )
    found = fetch_files(msgspec.structs.replace(entry("eurlex-4k"), name="toy", forms=(form,)))
    assert sorted(found) == ["test", "train"], found


def _two_results() -> None:
    for results, methods in (("one", ("tree", "knn")), ("two", ("ovr", "popularity"))):
        quietly(lambda results=results, methods=methods: run(*methods, results=results))


def _leaderboards() -> None:
    _leaderboards_of_one()
    quietly(lambda: command("merge", "two", "--into", "leaderboards", "--slim"))


def _leaderboards_of_one() -> None:
    _two_results()
    quietly(lambda: command("merge", "one", "--into", "leaderboards", "--slim"))
    quietly(lambda: command("board", "build"))


def _clean_prepared() -> None:
    _text_files()
    quietly(_import)
    for name in ("mine", TINY):
        quietly(lambda name=name: command("data", "stats", name))


def _export_prepared() -> None:
    _clean_prepared()
    quietly(lambda: _export(TINY))


def _export(name: str = "mine", *more: str) -> None:
    command("data", "export", name, "--to", "out", *more)


def _keep_models() -> None:
    command("run", "tree", "knn", "--dataset", TINY, "--threads", "1", "--keep-models")


def _list(results: str = "results") -> None:
    command("ls", "runs", "--results", results)


def _score_as() -> None:
    predictions = next(path for path in sorted(Path("results/predictions").glob("*.npz")) if "tree" in path.name)
    command("score", str(predictions), "--dataset", TINY, "--as", "outside", "--results", "outside")


SCENES = {
    **{f"run {name}": Scene(lambda words=words: run(words), between=_list, share=4) for name, words in METHODS.items()},
    "run tuned": Scene(lambda: run("ovr[tune]", "knn", seeds="0,1"), between=_list, share=4),
    "run --keep-models": Scene(_keep_models, between=_list),
    "model export": Scene(
        lambda: command("model", "export", "tree", "--to", "model"),
        lambda: quietly(_keep_models),
        ("has a model already",),
    ),
    "data import": Scene(_import, _text_files, ("is imported already",)),
    "data import --replace": Scene(
        lambda: _import("--replace"), _replace_prepared, between=lambda: command("data", "stats", "mine")
    ),
    "data fetch": Scene(_fetch, _fetch_prepared),
    "merge": Scene(
        lambda: command("merge", "one", "two", "--into", "merged"), _two_results, between=lambda: _list("merged")
    ),
    "merge --slim": Scene(lambda: command("merge", "one", "two", "--into", "leaderboards", "--slim"), _two_results),
    "board build": Scene(lambda: command("board", "build"), _leaderboards),
    "submit": Scene(lambda: command("submit", "two", "--to", "submission"), _leaderboards_of_one, ("is not empty",)),
    "plot": Scene(lambda: command("plot", "one", "--to", "out/figure.svg"), _two_results),
    "data clean": Scene(lambda: command("data", "clean", "--yes"), _clean_prepared),
    "data export": Scene(_export, _clean_prepared, ("is not empty",)),
    "data export --replace": Scene(lambda: _export("mine", "--replace"), _export_prepared),
    "new method": Scene(lambda: command("new", "method", "mine"), done=("exists already",)),
    "score --as": Scene(_score_as, lambda: quietly(lambda: run("tree"))),
    "check scores --update": Scene(
        lambda: command("check", "scores", "--update", "results", "--expected", "expected"),
        lambda: quietly(lambda: run("tree", "knn", seeds="0,1")),
    ),
    "data remove": Scene(
        lambda: command("data", "remove", "mine", "--yes"), _clean_prepared, ("unknown imported data set",)
    ),
}


def quietly(act: Act) -> None:
    """Do `act` in this process; RuntimeError unless it ends with exit code 0."""
    try:
        act()
    except SystemExit as stop:
        if stop.code:
            raise RuntimeError(f"preparation ended with {stop.code}") from stop


@contextmanager
def prepared(scene: Scene) -> Iterator[Path]:
    """A temporary folder in which `scene` is prepared and was never acted."""
    with tempfile.TemporaryDirectory(prefix="attack-") as place:
        folder = Path(place) / "start"
        folder.mkdir()
        made = child(scene.prepare, folder)
        if made.code:
            raise RuntimeError(f"can't prepare: {made.said}")
        yield folder


def copied(start: Path, to: Path | None = None) -> Path:
    """A fresh copy of a prepared folder, in `to` or next to it, which replaces the copy before."""
    folder = (to or start.parent) / "copy"
    shutil.rmtree(folder, ignore_errors=True)
    return Path(shutil.copytree(start, folder, symlinks=True))


def spread(total: int, wanted: int, dice: random.Random) -> Sequence[int]:
    """At most `wanted` different numbers from 1 to `total`, one at random in each of as many equal parts."""
    wanted = min(wanted, total)
    edges = [total * i // wanted for i in range(wanted + 1)]
    return [dice.randint(low + 1, high) for low, high in pairwise(edges)]


def faults_shown(faults: Sequence[str]) -> str:
    """Different faults, at most 40, for a terminal."""
    different = list(dict.fromkeys(faults))
    return "".join(f"  {fault}\n" for fault in different[:40]) + (
        f"  … {len(different)} in all\n" * (len(different) > 40)
    )
