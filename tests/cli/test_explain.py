"""`xmcbench explain`: the words and training texts behind a label, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from typer.testing import CliRunner, Result

from xmcbench.cli import app as cli
from xmcbench.cli.explain import _print
from xmcbench.errors import XmcError
from xmcbench.models.explaining import Explained, NamedReason, NamedStep
from xmcbench.models.model import Label

TEXTS = {"sport": "ball goal team \x1b[31m", "food": "bread soup cheese", "music": "song band drum"}


def call(*words: str) -> Result:
    return CliRunner().invoke(cli.app, list(words))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a home and results: knn and ovr with models, fitted on 60 short texts with ids."""
    folder = tmp_path_factory.mktemp("explain")
    rows = [{"id": f"doc{i}", "text": f"{TEXTS[name]} {i % 7}", "labels": [name]} for i in range(20) for name in TEXTS]
    (folder / "docs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XMCBENCH_HOME", str(folder / "home"))
        patch.chdir(folder)
        for words in (
            ["data", "import", "--name", "docs", "--texts", "docs.jsonl"],
            ["run", "knn", "ovr", "--dataset", "docs", "--keep-models", "--threads", "1"],
        ):
            done = call(*words)
            assert done.exit_code == 0, done.output
    return folder


@pytest.fixture(autouse=True)
def _in_folder(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained)
    monkeypatch.setenv("XMCBENCH_HOME", str(trained / "home"))


def test_words_explain_a_linear_model() -> None:
    shown = call("explain", "ovr", "--text", "bread and unknownword", "--top", "1")
    assert shown.exit_code == 0, shown.output
    assert "food · score" in shown.stdout
    assert "+" in next(line for line in shown.stdout.splitlines() if line.endswith("bread"))
    assert "unknownword" not in shown.stdout


def test_a_sum_that_two_labels_share_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    def step(title: str, value: float) -> NamedStep:
        return NamedStep(title, value, [NamedReason("feature", 3, "ball", value, "")], "factor 0.8")

    printed: set[tuple[str, float, str]] = set()
    for name, value in (("football", 1.5), ("handball", 2.5)):
        _print(Explained(Label(0, name, 0.5), [step("level 1", 0.5), step("level 2", value)]), 5, printed)
    shown = ["football · score 0.5", "  level 1 = 0.5 → factor 0.8", "    +0.5000  ball"]
    shown += ["  level 2 = 1.5 → factor 0.8", "    +1.5000  ball"]
    shown += ["handball · score 0.5", "  level 1 = 0.5 → factor 0.8 (as above)"]
    shown += ["  level 2 = 2.5 → factor 0.8", "    +2.5000  ball"]
    assert [line for line in capsys.readouterr().out.splitlines() if line] == shown


def test_the_first_line_says_how_to_read_what_follows() -> None:
    (first, *_) = call("explain", "ovr", "--text", "bread", "--top", "1").stdout.splitlines()
    assert first == "ovr on docs. The lines below a sum add up to it: plus speaks for a label, minus against it."


def test_json_has_all_reasons_and_they_sum_to_the_score() -> None:
    shown = call("explain", "ovr", "--text", "bread song", "--top", "2", "--reasons", "1", "--json")
    found = [json.loads(line) for line in shown.stdout.splitlines()]
    assert {one["name"] for one in found} == {"food", "music"}
    for one in found:
        (step,) = one["steps"]
        assert sum(reason["value"] for reason in step["reasons"]) == pytest.approx(one["score"], abs=1e-5)
        assert {reason["name"] for reason in step["reasons"]} == {"bread", "song", "(constant)"}


def test_neighbours_have_ids_and_texts_without_control_characters() -> None:
    shown = call("explain", "knn", "--text", "goal", "--top", "1", "--reasons", "2")
    assert shown.exit_code == 0, shown.output
    assert "\x1b" not in shown.stdout
    lines = [line for line in shown.stdout.splitlines() if "(row " in line]
    assert len(lines) == 2
    assert all("doc" in line and "ball goal team" in line and "similarity" in line for line in lines)


def test_neighbours_are_rows_where_the_data_set_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path))
    shown = call("explain", "knn", "--text", "goal", "--top", "1", "--json")
    assert shown.exit_code == 0, shown.output
    reasons = json.loads(shown.stdout)["steps"][0]["reasons"]
    assert all(reason["name"] == f"row {reason['id']}" for reason in reasons)


def test_features_are_read_from_a_file(tmp_path: Path) -> None:
    width = json.loads(call("model", "info", "ovr", "--json").stdout)["dataset"]["n_features"]
    sp.save_npz(tmp_path / "rows.npz", sp.csr_matrix(np.eye(2, width, dtype=np.float32)))
    shown = call("explain", "ovr", "--features", str(tmp_path / "rows.npz"), "--row", "1", "--top", "1")
    assert shown.exit_code == 0, shown.output
    with pytest.raises(XmcError, match="there is no row 2"):
        cli.app(["explain", "ovr", "--features", str(tmp_path / "rows.npz"), "--row", "2"], standalone_mode=False)


@pytest.mark.parametrize("text", ["", "unknownword"])
def test_a_text_without_known_words_says_so(text: str) -> None:
    assert "no feature of the model" in call("explain", "ovr", "--text", text).stdout
    shown = call("explain", "knn", "--text", text).stdout
    assert "no label is predicted" in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["explain", "ovr"], "one of --text and --features"),
        (["explain", "ovr", "--text", "a", "--row", "0"], "--row is for --features"),
        (["explain", "ovr", "--text", "a", "--features", "b"], "one of --text and --features"),
        (["explain", "ovr", "--text", "\ud800 x"], "is not UTF-8"),
        (["explain", "ovr", "--text", "a\0b"], "a NUL character"),
        (["explain", "popularity", "--text", "a", "--results", "none"], "popularity"),
    ],
)
def test_what_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(XmcError, match=message):
        cli.app(words, standalone_mode=False)


def test_a_method_without_explain_says_which_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from xmcbench.methods.ovr import Ovr

    monkeypatch.delattr(Ovr, "explain")
    with pytest.raises(XmcError, match="ovr can't say why") as error:
        cli.app(["explain", "ovr", "--text", "a"], standalone_mode=False)
    assert "knn" in error.value.hint
