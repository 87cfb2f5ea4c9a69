"""Row-sparse operations and AdamW: numba against the torch form, and both against plain dense torch."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numba
import numpy as np
import pytest
import torch
from torch import Tensor

from xmcbench.tables import ops, torch_ops
from xmcbench.tables.ops import bag, gather_dot
from xmcbench.tables.optim import DenseAdamW, Optimisers, RowAdamW, warm_then_linear

GENERATOR = torch.Generator().manual_seed(0)


@pytest.fixture(params=["numba", "torch", "triton", "dense"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs a test with every form: the CPU's kernels, those of other devices (small chunks), and all products."""
    monkeypatch.setattr(ops, "DENSE", 10**6 if request.param == "dense" else 0)
    if request.param in ("torch", "triton"):
        monkeypatch.setattr(ops, "on_cpu", lambda tensor: False)
        monkeypatch.setattr(torch_ops, "CHUNK", 20)
    if request.param == "triton":
        pytest.importorskip("triton", reason="Triton is not installed: pip install triton (Linux)")
        from xmcbench.tables import triton_ops

        monkeypatch.setattr(ops, "elsewhere", lambda tensor: triton_ops)
    return str(request.param)


def csr() -> tuple[Tensor, Tensor, Tensor]:
    """Three rows of six features; the second is empty, a feature comes twice, one lies past the table."""
    indptr = torch.tensor([0, 3, 3, 6])
    indices = torch.tensor([1, 4, 6, 1, 0, 1])
    return indptr, indices, torch.randn(6, dtype=torch.float64, generator=GENERATOR)


def test_bag(form: str) -> None:
    indptr, indices, values = csr()
    table = torch.randn(6, 4, dtype=torch.float64, generator=GENERATOR, requires_grad=True)
    dense = torch.zeros(3, 7, dtype=torch.float64)
    dense.index_put_((torch.tensor([0, 0, 0, 2, 2, 2]), indices), values, accumulate=True)
    weights = torch.randn(3, 4, dtype=torch.float64, generator=GENERATOR)
    out = bag(table, indptr, indices, values)
    torch.testing.assert_close(out, dense[:, :6] @ table)
    (out * weights).sum().backward()
    assert table.grad is not None
    assert table.grad.is_sparse
    assert table.grad._indices()[0].tolist() == [0, 1, 4]
    torch.testing.assert_close(table.grad.to_dense(), dense[:, :6].T @ weights)


def test_gather_dot(form: str) -> None:
    queries = torch.randn(3, 4, dtype=torch.float64, generator=GENERATOR, requires_grad=True)
    table = torch.randn(5, 4, dtype=torch.float64, generator=GENERATOR, requires_grad=True)
    bias = torch.randn(5, dtype=torch.float64, generator=GENERATOR, requires_grad=True)
    ids = torch.tensor([[0, 3, 5], [3, 1, 5], [3, 5, 0]])
    weights = torch.randn(3, 3, dtype=torch.float64, generator=GENERATOR)

    def plain(*given: Tensor) -> Tensor:
        q, t, b = given
        every = torch.cat([q @ t.T + b, torch.zeros(3, 1, dtype=torch.float64)], dim=1)
        return (every.gather(1, ids) * weights).sum()

    expected = torch.autograd.grad(plain(queries, table, bias), (queries, table, bias))
    found = (gather_dot(queries, table, bias, ids) * weights).sum()
    assert found.item() == pytest.approx(plain(queries, table, bias).item())
    got = torch.autograd.grad(found, (queries, table, bias))
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one.to_dense(), other)


def test_a_table_under_an_optimiser_keeps_its_gradient_as_factors(form: str) -> None:
    """Two backward passes before a step count as their sum; the step is that of the sparse gradient."""
    starts = torch.randn(5, 4, generator=GENERATOR), torch.randn(3, 4, generator=GENERATOR), torch.zeros(5)
    ids = torch.tensor([[0, 3, 5], [3, 1, 5], [3, 5, 0]])
    tables = []
    for factored in (True, False):
        table = torch.nn.Parameter(starts[0].clone())
        optimiser = RowAdamW(table, 0.1, 0.01)
        if not factored:
            del table.factors  # type: ignore[attr-defined]
        for _ in range(3):
            for scale in (1.0, 2.0):
                (gather_dot(starts[1] * scale, table, starts[2], ids) ** 2).sum().backward()
            assert (table.grad is None) == factored
            table.factors = getattr(table, "factors", [])  # type: ignore[attr-defined]
            optimiser.step(1.0)
            if not factored:
                del table.factors  # type: ignore[attr-defined]
        optimiser.settle()
        tables.append(table.detach())
    assert not torch.equal(tables[0], starts[0])
    torch.testing.assert_close(tables[0], tables[1])


@pytest.mark.parametrize("width", [30, 90])
def test_all_products_and_gathered_ones_agree(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    g = torch.Generator().manual_seed(width)
    queries, table, bias = (
        torch.randn(*shape, generator=g).requires_grad_() for shape in ((20, 16), (300, 16), (300,))
    )
    ids = torch.stack([torch.randperm(301, generator=g)[:width] for _ in range(20)])
    weights = torch.randn(20, width, generator=g)
    found = []
    for dense in (0, 5):  # 5: gathered at width 30, all products at 90
        monkeypatch.setattr(ops, "DENSE", dense)
        z = gather_dot(queries, table, bias, ids)
        gradients = torch.autograd.grad(z, (queries, table, bias), weights)
        found.append([z.detach(), *(gradient.to_dense() for gradient in gradients)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_triton_agrees_with_torch(seed: int) -> None:
    """Over several blocks of labels, of the width and of places, with ids past the table."""
    pytest.importorskip("triton", reason="Triton is not installed: pip install triton (Linux)")
    from xmcbench.tables import triton_ops

    g = torch.Generator().manual_seed(seed)
    n, size, dim, width = 3, 50, (7, 128, 150)[seed], (1, 32, 70)[seed]
    queries, table, bias = (torch.randn(*shape, generator=g) for shape in ((n, dim), (size, dim), (size,)))
    ids = torch.randint(size + 2, (n, width), generator=g)
    given = queries, table, bias, ids
    torch.testing.assert_close(triton_ops.dots(*given), torch_ops.dots(*given), rtol=1e-5, atol=1e-5)
    starts = torch.tensor([0, 0, width, n * width])
    values = torch.randn(n * width, generator=g)
    for order in (None, torch.randperm(n * width, generator=g)):
        given = starts, order, ids.view(-1), values, table
        found, known = triton_ops.weighted_rows(*given), torch_ops.weighted_rows(*given)
        torch.testing.assert_close(found, known, rtol=1e-5, atol=1e-5)


def test_threads_do_not_show() -> None:
    g = torch.Generator().manual_seed(1)
    queries, table, bias = (
        torch.randn(*shape, generator=g).requires_grad_() for shape in ((20, 16), (900, 16), (900,))
    )
    ids = torch.randint(901, (20, 50), generator=g)
    found = []
    before = numba.get_num_threads()
    for threads in {1, before}:
        numba.set_num_threads(threads)
        z = gather_dot(queries, table, bias, ids)
        gradients = torch.autograd.grad((z**2).sum(), (queries, table, bias))
        found.append([z.detach(), *(gradient.to_dense() for gradient in gradients)])
    numba.set_num_threads(before)
    assert all(torch.equal(one, other) for one, other in zip(found[0], found[-1], strict=True))


def test_nothing_to_do(form: str) -> None:
    none = torch.zeros(0, dtype=torch.int64)
    table = torch.ones(2, 3, requires_grad=True)
    out = bag(table, torch.zeros(3, dtype=torch.int64), none, none.float())
    assert out.tolist() == [[0, 0, 0], [0, 0, 0]]
    out.sum().backward()
    assert gather_dot(torch.ones(0, 3), table, torch.zeros(2), torch.zeros(0, 4, dtype=torch.int64)).shape == (0, 4)


def gradients(table: Tensor, present: bool, step: int) -> Tensor:
    """Rows 0 and 2 always, row 1 where present."""
    rows = torch.tensor([0, 1, 2] if present else [0, 2])
    values = torch.randn(len(rows), table.shape[1], generator=torch.Generator().manual_seed(step))
    return torch.sparse_coo_tensor(rows[None], values, table.shape, is_coalesced=True, check_invariants=False)


@pytest.mark.parametrize("numba_rows", [True, False])
def test_rows_of_every_step_move_as_in_dense_adamw(numba_rows: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not numba_rows:
        monkeypatch.setattr(ops, "on_cpu", lambda tensor: False)
    start = torch.randn(4, 3, generator=torch.Generator().manual_seed(9))
    ours, theirs = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    rows = RowAdamW(ours, 0.01, 0.1)
    dense = torch.optim.AdamW([theirs], lr=0.01, weight_decay=0.1)
    for step in range(12):
        factor = warm_then_linear(step, 12)
        dense.param_groups[0]["lr"] = 0.01 * factor
        ours.grad = gradients(ours, step in (3, 9), step)
        theirs.grad = gradients(theirs, step in (3, 9), step).to_dense()
        rows.step(factor)
        dense.step()
    assert not torch.allclose(ours[3], theirs[3], atol=1e-7)  # decay is owed to a row that was never touched
    rows.settle()
    torch.testing.assert_close(ours[[0, 2, 3]], theirs[[0, 2, 3]], rtol=1e-5, atol=1e-6)
    assert not torch.allclose(ours[1], theirs[1], atol=1e-6)  # the stated difference: no momentum while away


@pytest.mark.parametrize("numba_rows", [True, False])
def test_rows_that_share_their_second_moment_move_as_by_hand(numba_rows: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps of one row (3, 4): v = 0.001 · 12.5 after the first, so m / √v is (3, 4) / √12.5 after correction."""
    if not numba_rows:
        monkeypatch.setattr(ops, "on_cpu", lambda tensor: False)
    table = torch.nn.Parameter(torch.tensor([[1.0, 1.0], [5.0, 6.0]]))
    rows = RowAdamW(table, 0.1, 0.0, shared=True)
    assert rows.second.shape == (2, 1)
    table.grad = torch.sparse_coo_tensor([[0]], [[3.0, 4.0]], (2, 2), check_invariants=True)
    rows.step(1.0)
    root = 12.5**0.5
    torch.testing.assert_close(table.data, torch.tensor([[1 - 0.3 / root, 1 - 0.4 / root], [5.0, 6.0]]))
    before = table.data.clone()
    table.grad = torch.sparse_coo_tensor([[0]], [[0.0, 1.0]], (2, 2), check_invariants=True)
    rows.step(1.0)
    v = (0.999 * 0.001 * 12.5 + 0.001 * 0.5) / (1 - 0.999**2)
    m = torch.tensor([0.9 * 0.1 * 3, 0.9 * 0.1 * 4 + 0.1 * 1]) / (1 - 0.9**2)
    torch.testing.assert_close(table.data[0], before[0] - 0.1 * m / v**0.5)
    assert table.data[1].tolist() == [5, 6]


def test_large_tables_share_second_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xmcbench.tables.optim.SHARED", 4 * 3 * 4)
    assert RowAdamW(torch.nn.Parameter(torch.ones(4, 3)), 0.1, 0.0).second.shape == (4, 1)
    assert RowAdamW(torch.nn.Parameter(torch.ones(3, 3)), 0.1, 0.0).second.shape == (3, 3)
    part = RowAdamW(torch.nn.Parameter(torch.ones(2, 3)), 0.1, 0.0, whole=4)
    assert part.second.shape == (2, 1), "a process with a part of a large table decides as one with all of it"


@pytest.mark.parametrize("shared", [False, True])
def test_state_goes_round(shared: bool) -> None:
    one, other = (torch.nn.Parameter(torch.ones(4, 3)) for _ in range(2))
    first, second = RowAdamW(one, 0.1, 0.1, shared), RowAdamW(other, 0.1, 0.1, shared)
    one.grad = gradients(one, True, 0)
    first.step(1.0)
    other.data.copy_(one.data)
    second.restore(first.state())
    for rows in (first, second):
        rows.table.grad = gradients(rows.table, True, 1)
        rows.step(0.5)
        rows.settle()
    assert torch.equal(one, other)


def test_learning_rate_goes_up_then_down() -> None:
    factors = [warm_then_linear(step, 100) for step in range(100)]
    assert factors[9] == 1.0
    assert np.argmax(factors) in (9, 10)
    assert factors[0] == pytest.approx(0.1)
    assert 0 < factors[-1] < 0.02
    assert warm_then_linear(0, 1) == 1.0


def two_groups(seed: int) -> list[dict[str, Any]]:
    """Groups of two and one parameters, one of which has a gradient in the second step alone."""
    generator = torch.Generator().manual_seed(seed)
    some = [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((3, 2), (2,), (4,))]
    return [{"params": some[:2], "lr": 0.1, "weight_decay": 0.1}, {"params": some[2:], "lr": 0.02}]


def put_gradients(groups: list[dict[str, Any]], step: int) -> None:
    parameters = [p for group in groups for p in group["params"]]
    for number, p in enumerate(parameters):
        if step or number != 1:
            p.grad = torch.randn(p.shape, generator=torch.Generator().manual_seed(10 * step + number))


def test_dense_parameters_move_as_by_torch_also_after_a_restart() -> None:
    ours, theirs = two_groups(4), two_groups(4)
    dense = DenseAdamW(ours)
    torchs = torch.optim.AdamW(theirs, weight_decay=0.0, fused=True)
    rates = [group["lr"] for group in torchs.param_groups]
    for step in range(4):
        if step == 2:
            arrays = {f"dense {name}": value.copy() for name, value in dense.arrays().items()}
            optimisers = Optimisers([], ours, 0.0)
            optimisers.restore(arrays)
            dense = optimisers.dense
        for group, rate in zip(torchs.param_groups, rates, strict=True):
            group["lr"] = rate * (1 - 0.2 * step)
        put_gradients(ours, step)
        put_gradients(theirs, step)
        dense.step(1 - 0.2 * step)
        torchs.step()
    for mine, other in zip(ours, theirs, strict=True):
        for p, q in zip(mine["params"], other["params"], strict=True):
            assert torch.equal(p, q)
            assert p.grad is None


def test_training_does_not_import_the_compiler_of_torch() -> None:
    """It takes 74 MiB of each process."""
    code = "import sys, torch\nfrom xmcbench.tables.optim import Optimisers\np = torch.nn.Parameter(torch.ones(2))\n"
    code += "o = Optimisers([], [{'params': [p], 'lr': 1.0}], 0.0)\np.grad = torch.ones(2)\no.step(1.0)\n"
    code += "assert p.data[0] < 1\nassert 'torch._dynamo' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
