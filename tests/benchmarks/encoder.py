"""Embedding by a transformer encoder against a bare loop of transformers: texts per second.

    python tests/benchmarks/encoder.py [--texts N] [--repeats N] [--precision auto] [--encoder minilm] [--json]

Both sides embed the same texts of icd10cm, and texts of about 128 tokens made by joining them. Ours is
`embed(encoder, rows)`, with tokens made beforehand. The bare loop is what one writes by hand with `AutoModel`: sorted
by length, batches of as many texts as ours has on average, tokens padded beforehand, mean pooling, the model in the
same precision (cast to bfloat16 where ours is). For information: `usual` is the loop with batches of 32, which is
what sentence-transformers does; `unsorted` that without sorting; `autocast` that with autocast instead of a cast model.

Sides take turns, `ratio` is seconds of the bare loop / ours of medians: above 1, ours is faster. Embeddings of both
sides are compared. A single text is timed from the string to its embedding, `one_text_ms`, ours and by hand.
`dropout_ratio` is seconds of a training step with transformers' own dropout / without it.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import json
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that spin take the cores from others

import numpy as np
import torch

from xmcbench.encoders.encoder import buckets, embed
from xmcbench.encoders.params import EncoderParams
from xmcbench.encoders.tokens import TokenRows
from xmcbench.encoders.transformer import TransformerEncoder, new_transformer

SINGLE, USUAL = 20, 32


def texts_of(n: int) -> tuple[list[str], list[str]]:
    """n short texts, and n/8 of about 128 tokens."""
    from xmcbench.data import load

    some = load("icd10cm").train.texts
    assert some is not None
    step = max(1, len(some) // n)  # from all chapters
    short = [some[i] for i in range(0, len(some), step)][:n]
    long = [" ".join(short[i : i + 8])[: 4 * 128] for i in range(0, len(short), 8)]
    return short, long


def seconds(works: list[Callable[[], object]], repeats: int) -> list[float]:
    """Median wall seconds of each call, in turns so that a slow spell of the machine meets all of them alike."""
    taken: list[list[float]] = [[] for _ in works]
    for turn in range(repeats + 1):
        for work, times in zip(works, taken, strict=True):
            start = time.perf_counter()
            work()
            if turn:  # the first is for warming up
                times.append(time.perf_counter() - start)
    return [statistics.median(times) for times in taken]


def bare(model: Any, rows: TokenRows, order: np.ndarray, size: int, precision: str) -> Callable[[], np.ndarray]:
    """The loop by hand, over batches that are padded already; precision is float32, bfloat16 or autocast."""
    model = copy.deepcopy(model).eval()
    if precision == "bfloat16":
        model = model.to(torch.bfloat16)
    batches = []
    for start in range(0, len(order), size):
        which = order[start : start + size]
        lists = [torch.from_numpy(rows.ids[rows.offsets[i] : rows.offsets[i + 1]].astype(np.int64)) for i in which]
        ids = torch.nn.utils.rnn.pad_sequence(lists, batch_first=True, padding_value=rows.pad)
        lengths = torch.tensor([len(one) for one in lists])
        batches.append((which, ids, (torch.arange(ids.shape[1]) < lengths[:, None]).long()))

    def run() -> np.ndarray:
        out = np.empty((len(rows), model.config.hidden_size), np.float32)
        half = torch.autocast("cpu", torch.bfloat16) if precision == "autocast" else contextlib.nullcontext()
        with torch.inference_mode(), half:
            for which, ids, mask in batches:
                states = model(input_ids=ids, attention_mask=mask).last_hidden_state
                weights = mask[:, :, None].float()
                out[which] = ((states * weights).sum(1) / weights.sum(1)).float().numpy()
        return out

    return run


def throughput(encoder: TransformerEncoder, texts: list[str], repeats: int) -> dict[str, float]:
    rows = encoder.label_rows(texts)
    size = round(len(rows) / len(buckets(rows.lengths, encoder.part)))
    order = np.argsort(-rows.lengths, kind="stable")
    precision = "bfloat16" if encoder.halves else "float32"
    works: dict[str, Callable[[], Any]] = {
        "ours": lambda: embed(encoder, rows, "cpu"),
        "bare": bare(encoder.model, rows, order, size, precision),
    }
    works["usual"] = bare(encoder.model, rows, order, USUAL, precision)
    works["unsorted"] = bare(encoder.model, rows, np.random.default_rng(0).permutation(order), USUAL, precision)
    if encoder.halves:
        works["autocast"] = bare(encoder.model, rows, order, USUAL, "autocast")
    one, other = works["ours"](), works["bare"]()
    cosine = (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    assert cosine.min() > 0.999, f"the two sides differ: cosine {cosine.min()}"
    taken = dict(zip(works, seconds(list(works.values()), repeats), strict=True))
    result = {f"{name}_per_s": len(texts) / s for name, s in taken.items()}
    result |= {f"{name}_ratio" if name != "bare" else "ratio": s / taken["ours"] for name, s in taken.items()}
    result.pop("ours_ratio")
    return result | {"mean_tokens": float(rows.lengths.mean()), "batch": float(size)}


def single(encoder: TransformerEncoder, tokenizer: Any, texts: list[str]) -> dict[str, float]:
    model = copy.deepcopy(encoder.model).eval()
    if encoder.halves:
        model = model.to(torch.bfloat16)

    def ours(text: str) -> object:
        return embed(encoder, encoder.label_rows([text]), "cpu")

    @torch.inference_mode()
    def by_hand(text: str) -> object:
        batch = tokenizer([text], truncation=True, max_length=encoder.max_length, padding=True, return_tensors="pt")
        return model(**batch).last_hidden_state.float().mean(1).numpy()

    works = [lambda text=text, way=way: way(text) for text in texts[:SINGLE] for way in (ours, by_hand)]
    taken = seconds(works, 1)
    mine, other = statistics.median(taken[::2]) * 1e3, statistics.median(taken[1::2]) * 1e3
    return {"one_text_ms": mine, "one_text_bare_ms": other, "one_text_ratio": other / mine}


def steps(encoder: TransformerEncoder, texts: list[str], repeats: int) -> dict[str, float]:
    """A step of 16 texts, with the dropout that the model's file asks for and without."""
    dropping = copy.deepcopy(encoder)
    dropping.model.train()
    for module in dropping.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.1
        if hasattr(module, "dropout") and hasattr(module, "scaling"):  # attention draws by itself
            module.dropout.p = 0.1

    def step(one: TransformerEncoder) -> None:
        batch = one.label_rows(texts[:16]).batch(np.arange(16), "cpu")
        one(batch).square().sum().backward()
        one.zero_grad()

    with_dropout, without = seconds([lambda: step(dropping), lambda: step(encoder)], repeats)
    return {"step_ms": 1e3 * without, "dropout_step_ms": 1e3 * with_dropout, "dropout_ratio": with_dropout / without}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    params = EncoderParams(encoder=args.encoder, precision=args.precision, pooling="mean")
    encoder = new_transformer(params, 0, "cpu")
    assert isinstance(encoder, TransformerEncoder)
    short, long = texts_of(args.texts)
    result: dict[str, Any] = {"name": "encoder", "threads": args.threads, "halves": encoder.halves}
    result["short"] = throughput(encoder, short, args.repeats)
    result["long"] = throughput(encoder, long, args.repeats)
    result["single"] = single(encoder, encoder.tokenizer, short)
    result["training"] = steps(encoder, long, args.repeats)
    if args.json:
        print(json.dumps(result))
        return
    for part, values in result.items():
        print(part, "  ".join(f"{k} {v:.3g}" for k, v in values.items()) if isinstance(values, dict) else values)


if __name__ == "__main__":
    main()
