"""Texts in batches: their sizes, the ids of rows, and how much of a file is read."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from xmcbench.data import text_stream
from xmcbench.data.table_columns import Reading
from xmcbench.data.text_stream import batches


def test_batches_end_at_a_number_of_rows_or_of_characters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_stream, "ROWS", 3)
    monkeypatch.setattr(text_stream, "CHARACTERS", 10)
    path = tmp_path / "a.txt"
    path.write_text("a\nb\nc\nd\n0123456789\ne\n")
    found = list(batches(path, Reading()))
    assert [batch.texts for batch, _ in found] == [["a", "b", "c"], ["d", "0123456789"], ["e"]]
    assert [batch.ids for batch, _ in found] == [[0, 1, 2], [3, 4], [5]]
    assert [share for _, share in found] == [1, 1, 1]  # so short a file is read at once


def test_rows_without_an_id_have_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a", "id": "x"}\n\n{"text": "b"}\n{"text": "c", "id": 7}\n')
    [(batch, _)] = batches(path, Reading())
    assert (batch.texts, batch.ids) == (["a", "b", "c"], ["x", 1, "7"])


def test_the_share_grows_with_what_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_stream, "ROWS", 1000)
    path = tmp_path / "a.txt"
    path.write_text("a text of a row\n" * 10_000)
    shares = [share for _, share in batches(path, Reading())]
    assert shares == sorted(shares)
    assert 0.05 < shares[0] < 0.2
    assert shares[-1] == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_table_whose_delimiter_is_not_obvious_is_read_from_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    os.mkfifo(path)
    content = "id;text\n1;no, not now\n2;yes, now, here\n"
    writer = threading.Thread(target=path.write_text, args=(content,))
    writer.start()
    [(batch, _)] = batches(path, Reading())
    writer.join()
    assert (batch.texts, batch.ids) == (["no, not now", "yes, now, here"], ["1", "2"])
