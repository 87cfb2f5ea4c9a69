"""The site's generated pages, tutorials and examples, and what the README shows of them."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", ["own_texts.md", "own_method.md"])
def test_the_commands_of_a_tutorial(tmp_path: Path, page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    shown = re.findall(r"^```(sh|python)\n(.*?)^```$", text, re.M | re.S)
    assert shown
    blocks = [code if kind == "sh" else f"python3 - <<'END'\n{code}END\n" for kind, code in shown]
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "XMCBENCH_HOME": str(tmp_path / "home"), "COLUMNS": "160"}
    environment.pop("XMCBENCH_RESULTS", None)
    script = "set -eu\n" + "\n".join(blocks)
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def test_the_readmes_python_prints_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)  # the example writes a results folder
    (code,) = re.findall(r"^```python\n(.*?)^```$", README, re.M | re.S)
    exec(code, {})
    assert re.fullmatch(r"tree 0\.\d+ 0\.\d+\npopularity 0\.\d+ 0\.\d+\n", capsys.readouterr().out)


def test_the_script_that_compares_methods(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(ROOT / "examples" / "compare_methods.py"), run_name="__main__")
    assert re.match(r"tree +P@1 0\.\d{3}  PSP@5 0\.\d{3}\npopularity ", capsys.readouterr().out)


def test_the_script_that_labels_new_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(ROOT / "examples" / "label_new_texts.py"), run_name="__main__")
    shown = capsys.readouterr().out
    assert re.search(r"^Disorder of amino-acid metabolism\n  \d\.\d{3}  .*[Mm]etabol", shown, re.M)


def test_the_readmes_scores_are_those_of_the_leaderboard() -> None:
    lines = (ROOT / "leaderboards" / "tables" / "icd10cm--bow.md").read_text(encoding="utf-8").splitlines()
    board = [cells(line) for line in lines if line.startswith("|")]
    titles = board[0]
    shown = [cells(line) for line in README.splitlines() if re.match(r"\| (\d+(–\d+)?|rank) \|", line)]
    expected = {row[1]: row for row in board[1:] if len(row) == len(titles)}
    assert len(shown) == 7
    for rank, method, *scores in shown[1:]:
        row = dict(zip(titles, expected[method], strict=True))
        assert rank == row["rank by nDCG@5"].split(",")[0]
        assert scores == [row[name].split()[0] for name in shown[0][2:]]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_pictures_are_small_enough_for_a_page() -> None:
    pictures = re.findall(r"!\[[^\]]+\]\((.+?)\)", README)
    assert pictures
    for picture in pictures:
        assert (ROOT / picture).stat().st_size <= 150_000


def test_generated_pages_show_every_command_metric_and_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xmcbench.data.catalogue import catalogue
    from xmcbench.metrics import describe

    monkeypatch.syspath_prepend(ROOT / "docs" / "_ext")
    import generated_pages

    generated_pages.write_pages(tmp_path / "generated")
    read = {page.stem: page.read_text(encoding="utf-8") for page in (tmp_path / "generated").iterdir()}
    assert read["datasets"].count("\n## ") == len(catalogue())
    assert read["metrics"].count("\n## ") == len(describe())
    assert all(f"## xmcbench {verb}\n" in read["commands"] for verb in ("run", "data import", "board build", "info"))
    assert generated_pages.literal("a ``` b\x1b").startswith("````text\na ``` b")
