"""MKL's strict mode: which CPUs get it, and that products then don't depend on the number of threads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from xmcbench import mkl

PRODUCTS = """
import xmcbench, torch
torch.manual_seed(0)
for rows, between, columns in ((64, 1000, 100), (1, 384, 500), (512, 8192, 256)):
    a, b = torch.randn(rows, between), torch.randn(between, columns)
    products = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        products.append(a @ b)
    print(torch.equal(*products))
"""


@pytest.mark.parametrize(
    ("vendor", "flags", "mode"),
    [
        ("GenuineIntel", "fpu avx2 avx512f", "AVX512,STRICT"),
        ("GenuineIntel", "fpu avx2", "AVX2,STRICT"),
        ("GenuineIntel", "fpu avx", None),
        ("AuthenticAMD", "fpu avx2 avx512f", None),
    ],
)
def test_the_mode_of_a_cpu(
    vendor: str, flags: str, mode: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu = tmp_path / "cpuinfo"
    cpu.write_text(f"processor\t: 0\nvendor_id\t: {vendor}\nflags\t\t: {flags}\n\nprocessor\t: 1\n")
    monkeypatch.setattr(mkl, "CPU", cpu)
    monkeypatch.setenv(mkl.VARIABLE, "")
    monkeypatch.delenv(mkl.VARIABLE)
    mkl.ask_for_equal_bits()
    assert os.environ.get(mkl.VARIABLE) == mode


def test_a_mode_that_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(mkl.VARIABLE, "COMPATIBLE")
    mkl.ask_for_equal_bits()
    assert os.environ[mkl.VARIABLE] == "COMPATIBLE"


def test_products_are_equal_with_any_number_of_threads() -> None:
    environment = {name: value for name, value in os.environ.items() if name != mkl.VARIABLE}
    done = subprocess.run([sys.executable, "-c", PRODUCTS], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True"] * 3
