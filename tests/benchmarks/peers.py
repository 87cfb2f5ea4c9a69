"""One of our methods against a peer: training, prediction and memory, on one data set, in one run.

    python tests/benchmarks/peers.py OURS PEER [--dataset eurlex-4.3k] [--threads 2] [--rounds 1] [--cpu] [--json]
    python tests/benchmarks/peers.py xrlinear pecos
    python tests/benchmarks/peers.py 'tree[preset=bonsai]' 'omikuji[preset=bonsai]' --dataset icd10cm
    python tests/benchmarks/peers.py ovr 'napkinxc[preset=br]'

Each side runs in a separate process, one after the other, as a method of the harness on the same matrices; of
several rounds medians count. Ratios are ours / peer, so less than one is better: `train_ratio`; `predict_ratio`, all
test rows in one batch, five times; `query_ratio`, the median of single rows; `memory_ratio`, the most memory a process
had until it was trained: libraries, matrices, and omikuji's text file are in it. P@k is in percent. What is not the
peer's doing is left out of its times: writing omikuji's text file, Python's lists of a row for omikuji, and the way to
PECOS's process and back. Ours are whole calls, but for numba's compilation: a process before trains on a few rows.
`--cpu` gives CPU seconds of all threads instead of those on the wall, for a busy machine; not for PECOS, which has a
process of its own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

K, SINGLE, BATCHES = 10, 300, 5
Clock = Callable[[], float]


def one_side(name: str, dataset: str, threads: int, clock: Clock, *, few: bool) -> dict[str, Any]:
    """Train and ask one method; everything it took. `few`: a few rows and no more, so that all is compiled."""
    from xmcbench.context import RunContext
    from xmcbench.data import load
    from xmcbench.metrics import Truth, evaluate
    from xmcbench.runs.machine import thread_limits
    from xmcbench.runs.plan import make_plan
    from xmcbench.sparse import linear

    spec = next(run for run in make_plan([name], [dataset]) if run.label != "popularity" or name == "popularity")
    data = load(dataset)
    train, inputs = data.train_data(), data.test_inputs()
    with tempfile.TemporaryDirectory() as folder, thread_limits(threads):
        reason = spec.method(spec.fit_params).skip(data.facts(), machine(threads))
        if reason is not None:
            raise SystemExit(f"{name}: {reason}")
        if few:
            linear.MANY_ROWS = 1  # or the kernels of one-vs-rest would be compiled later
            train, inputs = part(train, 300), inputs.rows(slice(0, 20))
        method, query = spec.method(spec.fit_params), MappingProxyType(spec.query)
        ctx = RunContext(Path(folder), threads=threads, query=query, clock=clock)
        start = clock()
        method.fit(train, ctx)
        train_s = own(ctx, "train", clock() - start)
        peak = ctx.notes.get("train_peak_rss_bytes") or high_water()
        getattr(method, "warm_up", lambda _: None)(ctx)
        batch, single = asking(spec.info.name, method, inputs, ctx)
        batches = [batch() for _ in range(BATCHES)]
        singles = [single(row % inputs.n_rows) for row in range(SINGLE)]
        if few:
            return {}
        top = method.predict(inputs, K, ctx)
        values = evaluate(top, Truth.of(data), ["P@1", "P@3", "P@5"], samples=0).values
        return {
            "method": spec.label,
            "train_s": train_s,
            "predict_ms_per_row": 1e3 * statistics.median(batches) / inputs.n_rows,
            "query_ms_p50": 1e3 * statistics.median(singles),
            "peak_mib": peak / 2**20,
            **{value.name: round(100 * value.value, 2) for value in values},
        }


def own(ctx: Any, what: str, seconds: float) -> float:
    """A peer's own seconds where it has a clock, or those of the phase that is its; ours are the whole call's."""
    noted = ctx.notes.pop(f"{what}_seconds", None)
    peer = (Path(ctx.folder) / "model").exists()  # peers train in a folder, ours don't
    return float(noted if noted is not None else ctx.phases.get(what, seconds) if peer else seconds)


def asking(name: str, method: Any, inputs: Any, ctx: Any) -> tuple[Callable[[], float], Callable[[int], float]]:
    """(seconds of the whole batch, seconds of one row) as functions to call."""
    if name == "omikuji":
        from xmcbench.peers.rows import queries

        x = queries(name, inputs, method.n_features)
        rows = [list(zip(r.indices.tolist(), r.data.tolist(), strict=True)) for r in x]
        beam = ctx.query["beam"]

        def ask(chosen: list[Any]) -> float:
            start = ctx.clock()
            for row in chosen:
                method.model.predict(row, beam_size=beam, top_k=K)
            return float(ctx.clock() - start)

        return lambda: ask(rows), lambda row: ask(rows[row : row + 1])

    singles = [inputs.rows(slice(row, row + 1)) for row in range(min(SINGLE, inputs.n_rows))]

    def predict(asked: Any) -> float:
        start = ctx.clock()
        method.predict(asked, K, ctx)
        seconds = ctx.clock() - start
        return float(ctx.notes.pop("predict_seconds", seconds))

    return lambda: predict(inputs), lambda row: predict(singles[row % len(singles)])


def part(train: Any, n: int) -> Any:
    """The first n rows, not to be written to, as those of the cache are: a kernel is compiled for either kind."""
    from xmcbench.method import TrainData

    features, labels = train.features[:n], train.labels[:n]
    for matrix in (features, labels):
        for array in (matrix.data, matrix.indices, matrix.indptr):
            array.flags.writeable = False
    return TrainData(features, None, None, train.n_labels, labels)


def machine(threads: int) -> Any:
    from xmcbench.method import Machine

    return Machine(threads, "cpu")


def high_water() -> int:
    """The most memory this process ever had, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def side(name: str, args: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, __file__, "--side", name, "--dataset", args.dataset, "--threads", str(args.threads)]
    command += ["--cpu"] if args.cpu else []
    subprocess.run([*command, "--few"], stdout=subprocess.PIPE, check=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def middle(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        key: value if isinstance(value, str) else float(np.median([one[key] for one in rounds]))
        for key, value in rounds[0].items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ours", nargs="?")
    parser.add_argument("peer", nargs="?")
    parser.add_argument("--dataset", default="eurlex-4.3k")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--cpu", action="store_true", help="CPU seconds instead of those on the wall")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--few", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        clock = time.process_time if args.cpu else time.perf_counter
        print(json.dumps(one_side(args.side, args.dataset, args.threads, clock, few=args.few)))
        return
    if not (args.ours and args.peer):
        parser.error("name one of our methods and a peer")
    rounds = [(side(args.ours, args), side(args.peer, args)) for _ in range(args.rounds)]
    ours, peer = middle([one for one, _ in rounds]), middle([other for _, other in rounds])
    keys = {"train": "train_s", "predict": "predict_ms_per_row", "query": "query_ms_p50", "memory": "peak_mib"}
    ratios = {f"{name}_ratio": round(ours[key] / peer[key], 3) for name, key in keys.items()}
    if args.json:
        print(json.dumps({"dataset": args.dataset, "threads": args.threads, "ours": ours, "peer": peer, **ratios}))
        return
    seconds = "CPU seconds" if args.cpu else "seconds"
    print(f"{args.dataset}, {args.threads} threads, medians of {args.rounds}, {seconds}")
    for key, value in ours.items():
        text = f"{value:>22} {peer[key]:>22}" if isinstance(value, str) else f"{value:>22.3f} {peer[key]:>22.3f}"
        print(f"{key:20} {text}")
    print("  ".join(f"{name} {value}" for name, value in ratios.items()))


if __name__ == "__main__":
    main()
