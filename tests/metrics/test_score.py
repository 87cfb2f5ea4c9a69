"""`xmcbench score` from the shell's side: exact output, every form of file, every kind of damage."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import typer

from xmcbench.cli.score import load_truth, score, score_predictions, wanted_metrics
from xmcbench.errors import XmcError
from xmcbench.metrics import evaluate
from xmcbench.metrics.predictions import read_predictions
from xmcbench.topk import TopK

app = typer.Typer()
app.command("score")(score)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Call the command as the console script does: (exit code, stdout, stderr)."""

    def call(*words: object) -> tuple[int, str, str]:
        try:
            app([str(word) for word in words], standalone_mode=False)
            code, message = 0, ""
        except XmcError as error:
            code, message = error.exit_code, str(error)
        captured = capsys.readouterr()
        return code, captured.out, captured.err + message

    return call


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """The same four rows of predictions over six labels in every form, their truth and training labels."""
    ids = np.array([[0, 2, 5], [1, 3, 0], [4, 0, -1], [2, -1, -1]], np.int32)
    scores = np.array([[0.9, 0.8, 0.1], [0.7, 0.6, 0.5], [0.4, 0.3, 0], [0.2, 0, 0]], np.float32)
    truth = sp.csr_matrix(
        np.array([[1, 0, 0, 0, 0, 1], [0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, 0]], np.float32)
    )
    train = sp.csr_matrix(np.tril(np.ones((12, 6), np.float32), -3))
    rows = np.repeat(np.arange(4), (ids >= 0).sum(axis=1))
    matrix = sp.csr_matrix((scores[ids >= 0], (rows, ids[ids >= 0])), shape=(4, 6))
    paths = {
        name: tmp_path / name for name in ("csr.npz", "topk.npz", "text.txt", "truth.npz", "truth.txt", "train.npz")
    }
    sp.save_npz(paths["csr.npz"], matrix)
    np.savez(paths["topk.npz"], ids=ids, scores=scores)
    lines = [
        " ".join(f"{i}:{s:.8g}" for i, s in zip(a, b, strict=True) if i >= 0) for a, b in zip(ids, scores, strict=True)
    ]
    paths["text.txt"].write_text("4 6\n" + "\n".join(lines) + "\n")
    sp.save_npz(paths["truth.npz"], truth)
    paths["truth.txt"].write_text("4 6\n0:1 5:1\n3:1\n4:1\n1:1\n")
    sp.save_npz(paths["train.npz"], train)
    return paths


def options(files: dict[str, Path], *more: object) -> list[object]:
    return ["--truth", files["truth.npz"], "--train-labels", files["train.npz"], "--propensity", "0.55,1.5", *more]


@pytest.mark.parametrize("form", ["csr.npz", "topk.npz", "text.txt"])
def test_json_is_exact_and_alone(run: Any, files: dict[str, Path], form: str) -> None:
    code, out, err = run(files[form], *options(files), "--metrics", "P@3,p@1,PSP@1,R@2", "--json")
    assert code == 0
    assert err == ""
    parsed = json.loads(out)
    assert list(parsed) == ["P@3", "P@1", "PSP@1", "R@2"]
    assert out == json.dumps(parsed) + "\n"
    assert parsed["P@1"] == 0.5
    assert parsed["P@3"] == pytest.approx((2 + 1 + 1 + 0) / 12, abs=1e-15)
    assert parsed["R@2"] == 0.625
    counts = np.array([9, 8, 7, 6, 5, 4])
    w = 1 + (np.log(12) - 1) * 2.5**0.55 * (counts + 1.5) ** -0.55
    assert parsed["PSP@1"] == pytest.approx((w[0] + w[4]) / (w[5] + w[3] + w[4] + w[1]), rel=1e-12)


def test_text_and_npz_truth_are_the_same(run: Any, files: dict[str, Path]) -> None:
    one = run(files["csr.npz"], "--truth", files["truth.npz"], "--metrics", "P@1,RR", "--json")
    two = run(files["csr.npz"], "--truth", files["truth.txt"], "--metrics", "P@1,RR", "--json")
    assert one == two
    assert one[0] == 0


def test_filter_pairs_go_before_the_cut(run: Any, files: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "filter.txt").write_text("1 1\n3 2\n")
    common = [files["csr.npz"], "--truth", files["truth.npz"], "--metrics", "P@1,Success@1", "--json"]
    assert json.loads(run(*common)[1])["P@1"] == 0.5
    assert json.loads(run(*common, "--filter", tmp_path / "filter.txt")[1]) == {"P@1": 0.75, "Success@1": 0.75}


def test_the_filter_leaves_enough_ranks(run: Any, tmp_path: Path) -> None:
    """Two of three pairs in front are filtered: the third must still be read, though P@1 is all that is asked."""
    sp.save_npz(tmp_path / "p.npz", sp.csr_matrix(np.array([[0.9, 0.8, 0.7, 0.1]])))
    sp.save_npz(tmp_path / "t.npz", sp.csr_matrix(np.array([[0, 0, 1, 0]])))
    (tmp_path / "f.txt").write_text("0 0\n0 1\n")
    code, out, _ = run(
        *(tmp_path / "p.npz", "--truth", tmp_path / "t.npz", "--filter", tmp_path / "f.txt"),
        *("--metrics", "P@1", "--json"),
    )
    assert (code, json.loads(out)) == (0, {"P@1": 1.0})


def test_ids_that_count_from_1(run: Any, files: dict[str, Path], tmp_path: Path) -> None:
    """All files shifted by one give the same values, and only they; a filter shifts its rows too."""
    (tmp_path / "f.txt").write_text("1 1\n3 2\n")
    (tmp_path / "f1.txt").write_text("2 2\n4 3\n")
    for name in ("csr", "truth", "train"):
        matrix = sp.load_npz(files[f"{name}.npz"])
        shifted = sp.csr_matrix((matrix.data, matrix.indices + 1, matrix.indptr), (matrix.shape[0], 7))
        sp.save_npz(tmp_path / f"{name}1.npz", shifted)
    metrics = "--metrics", "P@1,PSP@2,Coverage@3", "--json"
    filtered = run(files["csr.npz"], *options(files, "--filter", tmp_path / "f.txt", *metrics))
    ones = {name: tmp_path / f"{name.partition('.')[0]}1.npz" for name in ("truth.npz", "train.npz")}
    both = options(ones, "--filter", tmp_path / "f1.txt", *metrics, "--one-based")
    assert run(tmp_path / "csr1.npz", *both, "both") == filtered
    assert run(files["csr.npz"], *both, "truth") == filtered
    one = options(files, "--filter", tmp_path / "f.txt", *metrics)
    assert run(tmp_path / "csr1.npz", *one, "--one-based", "predictions") == filtered
    assert filtered[0] == 0
    code, _, err = run(files["csr.npz"], *both, "both")
    assert (code, "id 0 in a file with one-based ids" in err) == (4, True)
    code, _, err = run(tmp_path / "csr1.npz", *one)
    assert (code, "say so with --one-based" in err) == (4, True)
    code, _, err = run(files["csr.npz"], "--dataset", "eurlex-4.3k", "--one-based", "truth")
    assert (code, "With --dataset: --one-based predictions" in err) == (2, True)


@pytest.mark.parametrize("form", ["arrays.npz", "csr.npz", "p.txt"])
def test_ids_that_seem_to_count_from_another_number(run: Any, tmp_path: Path, form: str) -> None:
    """20 rows with the true labels 0 to 3 by turns: all hit as they are, none if the ids are one higher."""
    true = np.arange(20) % 4

    def write(path: Path, ids: Any, width: int = 6) -> Path:
        if form == "arrays.npz":
            np.savez(path, ids=ids[:, None], scores=np.ones((20, 1)))
        elif form == "csr.npz":
            sp.save_npz(path, sp.csr_matrix((np.ones(20), ids, np.arange(21)), shape=(20, width)))
        else:
            path.write_text(f"20 {width}\n" + "".join(f"{i}:1\n" for i in ids))
        return path

    truth, truth_1 = tmp_path / "truth.npz", tmp_path / "truth_1.npz"
    for path, base in ((truth, 0), (truth_1, 1)):
        sp.save_npz(path, sp.csr_matrix((np.ones(20), true + base, np.arange(21)), shape=(20, 6 + base)))
    right, higher = write(tmp_path / f"right-{form}", true), write(tmp_path / f"higher-{form}", true + 1)
    more = "--metrics", "P@1", "--json"
    code, out, err = run(higher, "--truth", truth, *more)
    assert (code, json.loads(out)) == (0, {"P@1": 0.0})
    assert "no prediction names id 0; with ids one lower, predictions would have 20 hits and not 0" in err
    assert "give --one-based predictions" in err
    code, out, err = run(higher, "--truth", truth, *more, "--one-based", "predictions")
    assert (code, json.loads(out), "one-based" in err) == (0, {"P@1": 1.0}, False)
    assert "one-based" not in run(right, "--truth", truth, *more)[2]
    np.savez(tmp_path / "wide.npz", ids=true[:, None] + 1, scores=np.ones((20, 1)))
    err = run(tmp_path / "wide.npz", "--truth", truth_1, *more, "--one-based", "both")[2]
    assert "one-based" not in err
    sp.save_npz(truth_1, sp.csr_matrix((np.ones(20), true + 1, np.arange(21)), shape=(20, 6)))
    assert "if ids of the truth count from 1, give --one-based truth" in run(right, "--truth", truth_1, *more)[2]
    err = run(higher, "--truth", truth_1, *more, "--one-based", "predictions")[2]
    assert "leave out --one-based predictions" in err


def test_no_note_on_a_base_for_a_few_rows_or_few_hits(run: Any, files: dict[str, Path], tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", ids=[[1], [4], [5], [2]], scores=np.ones((4, 1)))
    assert "one-based" not in run(tmp_path / "p.npz", "--truth", files["truth.npz"], "--metrics", "P@1")[2]


def test_ties_filtered_true_labels_and_repeated_pairs_are_said(
    run: Any, files: dict[str, Path], tmp_path: Path
) -> None:
    scores = np.array([[0.5, 0.5 + 1e-12, 0.1], [0.5, 0.5, 0.1], [3, 2, 2], [3, 2, 1]])
    np.savez(tmp_path / "p.npz", ids=np.tile([5, 0, 3], (4, 1)), scores=scores)
    (tmp_path / "f.txt").write_text("1 3\n1 3\n2 1\n")
    command = tmp_path / "p.npz", "--truth", files["truth.npz"], "--json", "--metrics"
    code, out, err = run(*command, "P@1")
    assert (code, json.loads(out)) == (0, {"P@1": 0.25})
    assert "1 of 4 rows have equal scores within the first 1 labels or across that limit" in err
    assert "2 of 4 rows have equal scores within the first 2" in run(*command, "P@2", "--filter", tmp_path / "f.txt")[2]
    err = run(*command, "P@1", "--filter", tmp_path / "f.txt")[2]
    assert "1 pairs repeat earlier ones; each counts once" in err
    assert "1 of 2 filter pairs are true labels: removed from predictions, they count as misses" in err


def test_truth_without_a_header(run: Any, files: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "t.svm").write_text("0,5 0:1\n3 1:1\n4\n1 0:1\n")
    (tmp_path / "small.svm").write_text("0 0:1\n3 1:1\n4\n1 0:1\n")
    metrics = "--metrics", "P@1", "--json"
    code, out, err = run(files["csr.npz"], "--truth", tmp_path / "t.svm", *metrics)
    assert (code, out) == run(files["csr.npz"], "--truth", files["truth.npz"], *metrics)[:2]
    assert "t.svm has no header: 6 labels, by the largest id; --n-labels tells of more" in err
    small = "--truth", tmp_path / "small.svm", *metrics  # its largest label is 4
    assert "predictions over 6 labels, the truth has 5" in run(files["csr.npz"], *small)[2]
    assert run(files["csr.npz"], *small, "--train-labels", files["train.npz"])[0] == 0
    assert run(files["csr.npz"], *small, "--n-labels", 6)[::2] == (0, "")
    code, _, err = run(files["csr.npz"], "--truth", files["truth.npz"], "--n-labels", 7, *metrics)
    assert (code, "--n-labels 7: " in err, "has 6 labels" in err) == (2, True, True)


def test_table_shows_intervals_and_the_best(run: Any, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    code, out, err = run(files["csr.npz"], *options(files), "--metrics", "P@3,Coverage@1")
    assert code == 0
    assert err == ""
    assert "95 % interval" in out
    assert "best reachable" in out
    line = next(line.split() for line in out.splitlines() if line.strip().startswith("P@3"))
    assert (line[1], line[3], line[5]) == ("33.33", "…", "41.67")


def test_undefined_is_null(run: Any, files: dict[str, Path], tmp_path: Path) -> None:
    sp.save_npz(tmp_path / "none.npz", sp.csr_matrix((4, 6)))
    code, out, _ = run(files["csr.npz"], "--truth", tmp_path / "none.npz", "--metrics", "Coverage@1,P@1", "--json")
    assert (code, out) == (0, '{"Coverage@1": null, "P@1": 0.0}\n')


def test_short_lists_are_noted_on_stderr_only(run: Any, files: dict[str, Path]) -> None:
    code, out, err = run(files["topk.npz"], "--truth", files["truth.npz"], "--metrics", "P@5", "--json")
    assert code == 0
    assert json.loads(out)["P@5"] == pytest.approx(4 / 20)
    assert "3 labels per row" in err


def test_default_metrics_without_training_labels(run: Any, files: dict[str, Path]) -> None:
    code, out, err = run(files["csr.npz"], "--truth", files["truth.npz"], "--json")
    assert code == 0
    assert "--train-labels" in err
    assert not any(name.startswith("PS") for name in json.loads(out))
    assert "RPrec" in json.loads(out)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--metrics", "PQ@1,ndgc@3,P@x"], ("'PQ'", "'ndgc'", "'P@x'")),
        (["--metrics", ","], ("names no metric",)),
        (["--metrics", "P@1:nowhere"], ("nowhere", "head")),
        (["--engine", "xclib"], ("'pyxclib'",)),
        (["--propensity", "0.55"], ("is not A,B",)),
        (["--propensity", "0.5,-1"], ("A must be at least 0, B above −1",)),
        (["--propensity", "-0.5,1"], ("A must be at least 0",)),
        (["--propensity", "inf,1"], ("A must be at least 0",)),
        (["--one-based", "labels"], ("unknown value of --one-based 'labels'", "both, predictions, truth")),
        (["--dataset", "eurlex-4.3k"], ("leave out --truth",)),
        (["--view", "bow"], ("--view needs --dataset",)),
    ],
)
def test_usage_errors(run: Any, files: dict[str, Path], words: list[str], said: tuple[str, ...]) -> None:
    code, out, err = run(files["csr.npz"], *options(files, *words))
    assert code == 2
    assert out == ""
    assert all(part in err for part in said), err


def test_propensity_metrics_need_training_labels(run: Any, files: dict[str, Path]) -> None:
    code, _, err = run(files["csr.npz"], "--truth", files["truth.npz"], "--metrics", "P@1,PSP@5,P@1:tail")
    assert code == 2
    assert "PSP@5 needs the training labels" in err
    assert "P@1:tail needs the training labels" in err
    assert "--train-labels" in err
    code, _, err = run(files["csr.npz"])
    assert code == 2
    assert "--dataset NAME, or --truth FILE" in err


class Boom:
    def __reduce__(self) -> Any:
        return (sys.exit, ("unpickled",))


def damaged(kind: str, path: Path, files: dict[str, Path]) -> None:
    """Write one kind of broken predictions to `path`."""
    ids, scores = np.array([[0, 1]] * 4), np.array([[0.5, 0.4]] * 4)
    whole = files["csr.npz"].read_bytes()
    if kind == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "flipped":
        path.write_bytes(whole[:200] + bytes(255 - b for b in whole[200:260]) + whole[260:])
    elif kind == "pickled ids":
        np.savez(path, ids=np.array([[Boom()]] * 4, object), scores=scores)
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "no arrays known":
        np.savez(path, answers=ids)
    elif kind == "one row less":
        np.savez(path, ids=ids[:3], scores=scores[:3])
    elif kind == "shapes differ":
        np.savez(path, ids=ids, scores=scores[:, :1])
    elif kind == "real ids":
        np.savez(path, ids=ids + 0.5, scores=scores)
    elif kind == "one dimension":
        np.savez(path, ids=ids[0], scores=scores[0])
    elif kind == "label too large":
        ids[2, 1] = 6
        np.savez(path, ids=ids, scores=scores)
    elif kind == "label past 32 bits":
        np.savez(path, ids=ids.astype(np.int64) + 2**32, scores=scores)
    elif kind == "label below padding":
        ids[2, 1] = -7
        np.savez(path, ids=ids, scores=scores)
    elif kind == "nan":
        scores[3, 0] = np.nan
        np.savez(path, ids=ids, scores=scores)
    elif kind == "infinite":
        scores[3, 0] = np.inf
        np.savez(path, ids=ids, scores=scores)
    elif kind == "twice":
        ids[1] = [3, 3]
        np.savez(path, ids=ids, scores=scores)
    elif kind == "csr of other rows":
        sp.save_npz(path, sp.csr_matrix((5, 6)))
    elif kind == "csr of other labels":
        sp.save_npz(path, sp.csr_matrix((4, 7)))
    elif kind == "csr nan":
        sp.save_npz(path, sp.csr_matrix(np.full((4, 6), np.nan)))
    elif kind == "csr pointers":
        good = {"format": b"csr", "shape": (4, 6), "data": np.ones(2), "indices": np.array([0, 9])}
        np.savez(path, **good, indptr=np.array([0, 1, 2, 2, 2]))
    elif kind == "text nan":
        path.write_text("4 6\n0:1\n1:nan\n2:1\n3:1\n")
    elif kind == "text label":
        path.write_text("4 6\n0:1\n1:1\n6:1\n3:1\n")
    elif kind == "text twice":
        path.write_text("4 6\n0:1\n1:1 2:3 1:2\n2:1\n3:1\n")
    elif kind == "text short":
        path.write_text("4 6\n0:1\n1:1\n")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("truncated", "npz"),
        ("flipped", ""),
        ("pickled ids", "npz"),
        ("empty", "empty"),
        ("no arrays known", "answers"),
        ("one row less", "3 rows of predictions, the truth has 4"),
        ("shapes differ", "(4, 1)"),
        ("real ids", "whole numbers"),
        ("one dimension", "(rows, k)"),
        ("label too large", "row 2 names label 6"),
        ("label past 32 bits", "row 0 names label 4294967296"),
        ("label below padding", "row 2 names label -7"),
        ("nan", "row 3"),
        ("infinite", "row 3"),
        ("twice", "row 1 names label 3 twice"),
        ("csr of other rows", "5 rows of predictions, the truth has 4"),
        ("csr of other labels", "over 7 labels, the truth has 6"),
        ("csr nan", "row 0"),
        ("csr pointers", ""),
        ("text nan", "line 3"),
        ("text label", "line 4"),
        ("text twice", "line 3"),
        ("text short", "4 rows"),
        ("missing", "no such file"),
    ],
)
def test_damaged_predictions(run: Any, files: dict[str, Path], tmp_path: Path, kind: str, said: str) -> None:
    path = tmp_path / "damaged"
    damaged(kind, path, files)
    if path.with_suffix(".npz").exists():  # numpy and scipy add it
        path = path.with_suffix(".npz")
    code, out, err = run(path, "--truth", files["truth.npz"], "--metrics", "P@1", "--json")
    assert (code, out) == (4, ""), err
    assert str(path) in err
    assert said.casefold() in err.casefold()


def test_other_names_for_ids_and_scores(files: dict[str, Path], tmp_path: Path) -> None:
    with np.load(files["topk.npz"]) as file:
        ids, scores = file["ids"], file["scores"]
    expected = read_predictions(files["topk.npz"], 4, 6)
    for first in ("indices", "labels"):
        np.savez(tmp_path / "other.npz", **{first: ids.astype(np.int64), "values": scores.astype(np.float64)})
        got = read_predictions(tmp_path / "other.npz", 4, 6)
        np.testing.assert_array_equal(got.ids, expected.ids)


def test_unordered_predictions_are_put_in_order(tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", ids=[[0, 1, 2]], scores=[[0.1, 0.9, 0.1]])
    assert read_predictions(tmp_path / "p.npz", 1, 5).ids.tolist() == [[1, 0, 2]]
    (tmp_path / "p.txt").write_text("1 5\n2:0.1 1:0.9 0:0.1\n")
    assert read_predictions(tmp_path / "p.txt", 1, 5).ids.tolist() == [[1, 0, 2]]
    (tmp_path / "p.txt").write_text("1 5\n2:-3 1:0 0:-0.5\n")
    assert read_predictions(tmp_path / "p.txt", 1, 5, k=2).ids.tolist() == [[1, 0]]


def test_scored_against_a_data_set(files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import dataclasses

    import xmcbench.data
    from xmcbench.metrics import Truth
    from xmcbench.testing.worlds import tiny

    data = dataclasses.replace(tiny(), test_filter=np.array([[0, 3], [7, 1]]))
    monkeypatch.setattr(xmcbench.data, "load", lambda name, view=None: {"tiny": data}[name])
    rng = np.random.default_rng(0)
    topk = TopK.from_csr(sp.random_array((80, 40), density=0.5, rng=rng, format="csr"), 15)
    topk.save(tmp_path / "p.npz")
    against = load_truth("tiny", None, None, None, None, None)
    names = wanted_metrics(None, against.truth, "xmcbench")
    found = score_predictions(tmp_path / "p.npz", against, names, samples=0)
    kept = topk.without(data.test_filter, 15)
    assert found.values == evaluate(kept, Truth.of(data), names, samples=0).fractions()
    assert found.topk.k == 15
