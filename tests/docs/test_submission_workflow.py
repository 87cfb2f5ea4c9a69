"""The workflow that checks pull requests runs no code of theirs, and its command does what the comment needs."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.contributions.conftest import world  # noqa: F401
from xmcbench.cli.app import app
from xmcbench.errors import DataError

yaml = pytest.importorskip("yaml", reason="PyYAML comes with the extra text")
FILE = Path(__file__).resolve().parents[2] / ".github" / "workflows" / "submission.yml"


@pytest.fixture(scope="module")
def workflow() -> dict[Any, Any]:
    return dict(yaml.safe_load(FILE.read_text(encoding="utf-8")))


def steps(workflow: dict[Any, Any], job: str) -> list[dict[str, Any]]:
    return list(workflow["jobs"][job]["steps"])


def test_code_is_that_of_the_main_branch_and_rights_are_few(workflow: dict[Any, Any]) -> None:
    assert workflow[True] == {"pull_request_target": {"paths": ["submission/**"]}}  # YAML reads `on` as true
    assert workflow["permissions"] == {}
    assert workflow["jobs"]["check"]["permissions"] == {"contents": "read"}
    assert workflow["jobs"]["comment"]["permissions"] == {"pull-requests": "write"}
    own, theirs = (step["with"] for step in steps(workflow, "check") if "checkout" in step.get("uses", ""))
    assert own == {"persist-credentials": False}
    assert theirs["path"] == "sent"
    assert theirs["sparse-checkout"] == "/submission/"
    assert theirs["persist-credentials"] is False
    assert not any("checkout" in step.get("uses", "") for step in steps(workflow, "comment"))


def test_nothing_of_the_pull_request_is_installed_or_put_into_a_command(workflow: dict[Any, Any]) -> None:
    runs = [step["run"] for job in workflow["jobs"] for step in steps(workflow, job) if "run" in step]
    assert not any("${{" in line for line in runs)
    names = [step.get("run", step.get("with", {}).get("path", "")) for step in steps(workflow, "check")]
    installed = next(i for i, name in enumerate(names) if "pip install" in name)
    assert installed < names.index("sent")
    assert [name for name in names[names.index("sent") :] if " " in name] == [
        "xmcbench check submission sent/submission --text comment.md"
    ]


def test_its_command_writes_the_comment_whatever_is_sent(
    workflow: dict[Any, Any],
    world: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XMCBENCH_HOME", str(world / "home"))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(world / "leaderboards", tmp_path / "leaderboards")
    shutil.copytree(world / "submission", tmp_path / "sent" / "submission")
    (line,) = (step["run"] for step in steps(workflow, "check") if "check submission" in step.get("run", ""))
    words = shlex.split(line)[1:]
    assert CliRunner().invoke(app, words).exit_code == 0
    assert Path("comment.md").read_text().startswith("**Accepted**: 1 record")
    (tmp_path / "sent" / "submission" / "conftest.py").write_text("raise SystemExit")
    refused = CliRunner().invoke(app, words)
    assert isinstance(refused.exception, DataError)
    assert Path("comment.md").read_text().startswith("**Refused**: 0 records")
    assert "conftest.py is no file of a submission" in Path("comment.md").read_text()
