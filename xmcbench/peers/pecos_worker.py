"""The other side of `xmcbench.peers.pecos`: a program of its own, run by the python of PECOS's environment.

It knows nothing of xmcbench and imports the standard library, numpy, scipy and pecos alone. One request comes in on
standard input, one answer goes out on what was standard output, and so on until the input ends; then it leaves, in
the midst of training too, so that it never outlives who started it.

A message is the four bytes `XMCB`, the length of a JSON header (4 bytes, big end first), the header, and the bytes of
the arrays that the header's "arrays" lists as [name, dtype, shape], one after the other. Nothing is unpickled.
"""

from __future__ import annotations

import json
import math
import os
import queue
import resource
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import IO, Any

import numpy as np

MAGIC = b"XMCB"
MOST_HEADER = 1 << 20  # bytes
DTYPES = ("<f4", "<i4", "<i8")
Message = tuple[dict[str, Any], dict[str, Any]]


class Garbled(Exception):
    """What came in is no message."""


def send(stream: IO[bytes], header: dict[str, Any], arrays: dict[str, Any] | None = None) -> None:
    """Write one message; arrays are numpy's, of float32, int32 or int64."""
    whole = {name: np.ascontiguousarray(array) for name, array in (arrays or {}).items()}
    listed = [[name, array.dtype.str, list(array.shape)] for name, array in whole.items()]
    text = json.dumps({**header, "arrays": listed}).encode()
    stream.write(MAGIC + struct.pack(">I", len(text)) + text)
    for array in whole.values():
        stream.write(array.data.cast("B") if array.size else b"")
    stream.flush()


def receive(read: Callable[[int], bytes]) -> Message | None:
    """(header, arrays) of the next message by a function that reads n bytes, fewer only at the end; None at the end.

    Raises
    ------
    Garbled : it is no message, or ends within one.
    """
    start = read(8)
    if not start:
        return None
    if len(start) < 8 or start[:4] != MAGIC:
        raise Garbled(f"{start!r} is no start of a message")
    length = struct.unpack(">I", start[4:])[0]
    if length > MOST_HEADER:
        raise Garbled(f"a header of {length} bytes")
    try:
        header = json.loads(_all(read, length))
        arrays = {}
        for name, dtype, shape in header.pop("arrays"):
            if dtype not in DTYPES or any(not isinstance(n, int) or n < 0 for n in shape):
                raise Garbled(f"array {name!r} of {dtype!r}, {shape!r}")
            size = np.dtype(dtype).itemsize * math.prod(shape)
            arrays[name] = np.frombuffer(_all(read, size), dtype).reshape(shape)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Garbled(f"a damaged header ({error})") from error
    return header, arrays


def _all(read: Callable[[int], bytes], size: int) -> bytes:
    found = read(size)
    if len(found) != size:
        raise Garbled(f"{size} bytes were announced and {len(found)} came")
    return found


def csr(arrays: dict[str, Any], name: str, shape: Any) -> Any:
    """The CSR matrix whose parts were sent as NAME.data, NAME.indices and NAME.indptr."""
    import scipy.sparse as sp

    parts = tuple(arrays.pop(f"{name}.{part}").copy() for part in ("data", "indices", "indptr"))
    return sp.csr_matrix(parts, shape=tuple(shape), dtype=np.float32)


class Server:
    """What can be asked for: train, load, predict. Models lie in folders named 0, 1, … below the one given."""

    def __init__(self) -> None:
        self.folders: list[str] = []
        self.models: dict[str, list[Any]] = {}

    def train(self, ask: dict[str, Any], arrays: dict[str, Any]) -> Message:
        """One model a seed: PIFA label features, hierarchical k-means, linear rankers."""
        from pecos.xmc import Indexer, LabelEmbeddingFactory
        from pecos.xmc.xlinear.model import XLinearModel

        x, y = csr(arrays, "x", ask["x"]), csr(arrays, "y", ask["y"])
        threads, start = ask["threads"], time.perf_counter()
        features = LabelEmbeddingFactory.create(y, x, method="pifa", threads=threads)
        for number, seed in enumerate(ask["seeds"]):
            chain = Indexer.gen(
                features, indexer_type="hierarchicalkmeans", seed=seed, threads=threads, **ask["clustering"]
            )
            model = XLinearModel.train(x, y, C=chain, threads=threads, **ask["training"])
            model.save(os.path.join(ask["folder"], str(number)))
        seconds = time.perf_counter() - start
        return {"seconds": seconds}, {}

    def load(self, ask: dict[str, Any], arrays: dict[str, Any]) -> Message:
        """Weights as batches want them and as single rows do: PECOS's default form is many times slower."""
        from pecos.xmc.xlinear.model import XLinearModel

        start = time.perf_counter()
        folders = [os.path.join(ask["folder"], str(number)) for number in range(ask["trees"])]
        for kind in ("HASH_CHUNKED", "BINARY_SEARCH_CHUNKED"):
            self.models[kind] = [XLinearModel.load(f, is_predict_only=True, weight_matrix_type=kind) for f in folders]
        return {"seconds": time.perf_counter() - start}, {}

    def predict(self, ask: dict[str, Any], arrays: dict[str, Any]) -> Message:
        """The best labels of each model, their scores added up, as CSR."""
        x, start = csr(arrays, "x", ask["x"]), time.perf_counter()
        models = self.models["BINARY_SEARCH_CHUNKED" if x.shape[0] == 1 else "HASH_CHUNKED"]
        found = [
            m.predict(x, only_topk=ask["k"], beam_size=ask["beam"], threads=ask["threads"]).tocsr() for m in models
        ]
        scores = found[0] if len(found) == 1 else sum(found[1:], found[0])
        seconds = time.perf_counter() - start
        parts = {"data": np.float32, "indices": np.int64, "indptr": np.int64}
        return {"seconds": seconds}, {part: getattr(scores, part).astype(kind) for part, kind in parts.items()}

    def answer(self, ask: dict[str, Any], arrays: dict[str, Any]) -> Message:
        """Do what is asked; an error becomes an answer with "error" and "traceback"."""
        try:
            verb = {"train": self.train, "load": self.load, "predict": self.predict}[ask["verb"]]
            header, found = verb(ask, arrays)
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            return {"error": text, "traceback": traceback.format_exc(limit=-4)}, {}
        return {**header, "peak_rss_bytes": peak_rss()}, found


def peak_rss() -> int:
    """The most memory this process ever had resident, in bytes.

    Linux has it in /proc. What getrusage says includes the process that started this one; macOS counts in bytes.
    """
    if os.path.exists("/proc/self/status"):
        with open("/proc/self/status") as file:
            return 1024 * int(next(line.split()[1] for line in file if line.startswith("VmHWM:")))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def main() -> None:
    """Serve until standard input ends. Anything libraries print goes to standard error, apart from the answers."""
    answers = os.fdopen(os.dup(1), "wb")
    requests = os.fdopen(os.dup(0), "rb")
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    waiting: queue.SimpleQueue[Message] = queue.SimpleQueue()

    def listen() -> None:
        try:
            while (message := receive(requests.read)) is not None:
                waiting.put(message)
        finally:  # the end of the input, or nonsense: nobody is there to answer to
            os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    server = Server()
    while True:
        send(answers, *server.answer(*waiting.get()))


if __name__ == "__main__":
    main()
