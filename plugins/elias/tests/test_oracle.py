"""The command that compares with runs made elsewhere: what it finds on them, and on spoilt copies of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.oracles.elias import __main__ as oracle

DATA = Path(oracle.__file__).parents[1] / "data"
Arrays = dict[str, np.ndarray]


@pytest.fixture(params=["seed0_f32", "seed0_f64", "seed3_f64_sampled"])
def file(request: pytest.FixtureRequest) -> Path:
    return DATA / f"{request.param}.npz"


@pytest.fixture
def spoilt(tmp_path: Path) -> Callable[[Callable[[Arrays], object]], Path]:
    """Writes a copy of the smallest file after a change to its arrays."""

    def spoil(change: Callable[[Arrays], object]) -> Path:
        with np.load(DATA / "seed0_f64.npz", allow_pickle=False) as opened:
            arrays = {key: opened[key] for key in opened.files}
        change(arrays)
        np.savez(tmp_path / "spoilt.npz", **arrays)
        return tmp_path / "spoilt.npz"

    return spoil


def test_every_quantity_within_tolerance(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert oracle.main([str(file)]) == 0
    shown = capsys.readouterr().out
    for name in ("cluster scores", "adjacency", "paths, train", "shortlist loss", "gradient of WL.weight", "30 steps"):
        assert name in shown
    assert shown.count("losses of 30 steps") == 2
    assert f"tolerance {1e-6 if 'f32' in file.name else 1e-10:g}" in shown


@pytest.mark.parametrize(
    ("key", "quantity"),
    [
        ("elias1/eval/cluster_scores", "cluster scores"),
        ("elias2/eval/label_shortlist_vals", "paths, eval"),
        ("elias1/train/grad/WL.weight", "gradient of WL.weight"),
        ("elias2/train/loss_shortlist", "shortlist loss"),
        ("elias2/train/trace", "losses of 30 steps"),
        ("elias2/train/trace_final_WC.weight", "WC.weight after them"),
    ],
)
def test_one_number_off_by_a_millionth(
    key: str,
    quantity: str,
    spoilt: Callable[[Callable[[Arrays], object]], Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    def change(arrays: Arrays) -> None:
        numbers = np.array(arrays[key])
        numbers.flat[np.abs(numbers).argmax()] += 1e-6
        arrays[key] = numbers

    assert oracle.main([str(spoilt(change))]) == 1
    past = [line for line in capsys.readouterr().out.splitlines() if line.endswith("past tolerance")]
    assert any(line.strip().startswith(quantity) for line in past)


def test_not_a_number_is_past_tolerance(
    spoilt: Callable[[Callable[[Arrays], object]], Path],
) -> None:
    assert oracle.main([str(spoilt(lambda a: a.update({"elias1/train/loss": np.array(np.nan)})))]) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda a: a.pop("in/alpha"), "lacks in/alpha"),
        (lambda a: a.update({"elias2/eval/embs": a["elias2/eval/embs"][:-1]}), "elias2/"),
        (lambda a: a.update({"elias1/param/A_nz_inds": a["elias1/param/A_nz_inds"] - 1}), "must lie in 0 …"),
    ],
)
def test_no_oracle(
    change: Callable[[Arrays], object],
    said: str,
    spoilt: Callable[[Callable[[Arrays], object]], Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert oracle.main([str(spoilt(change))]) == 4
    assert said in capsys.readouterr().err


def test_missing_and_damaged_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (DATA / "seed0_f64.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.npz").write_text("not an archive")
    for name, said in (("none.npz", "no such file"), ("cut.npz", "damaged"), ("text.npz", "damaged")):
        assert oracle.main([str(tmp_path / name)]) == 4
        assert said in capsys.readouterr().err


def test_apart() -> None:
    one = torch.tensor([1.0, 4.0])
    assert oracle.apart(one, torch.tensor([1.0, 2.0])) == 1  # 2 over the largest, 2
    assert oracle.apart(one, torch.tensor([1.0])) == float("inf")
    assert oracle.apart(torch.tensor([float("nan")]), torch.tensor([0.0])) == float("inf")
    labels = torch.tensor([[2, 0, 5]]), torch.tensor([[3, 5, 0]])  # 5: padding
    values = torch.tensor([[0.5, 0.25, 9]]), torch.tensor([[0.5, 9, 0.25]])
    assert oracle.apart_by_label((labels[0], values[0]), (labels[1], values[1]), 5) == float("inf")
    swapped = torch.tensor([[0, 5, 2]]), torch.tensor([[0.25, 7, 0.5]])
    assert oracle.apart_by_label((labels[0], values[0]), swapped, 5) == 0
