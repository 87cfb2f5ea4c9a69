"""The worker process of `xmcbench.peers.pecos`, run by the Python of PECOS's environment.

The program only imports the standard library, numpy, scipy and pecos. It reads one request at a time from standard
input and writes one answer to the original standard output. It exits when the input ends, even during training, so that
it never outlives its parent.

A message consists of the four bytes `XMCB`, the length of a JSON header (4 bytes, big-endian), the header, and the
bytes of the arrays that the header lists under "arrays" as [name, dtype, shape], in that order. Nothing is unpickled.
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
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

MAGIC = b"XMCB"
MAX_HEADER_BYTES = 1 << 20
DTYPES = ("<f4", "<i4", "<i8")
Header = dict[str, Any]  # decoded JSON
Arrays = dict[str, Any]  # numpy arrays: this file also runs under PECOS's numpy
Message = tuple[Header, Arrays]


class Garbled(Exception):
    """The input is not a valid message."""


class Writable(Protocol):
    """What `send` writes to."""

    def write(self, content: Any, /) -> object: ...

    def flush(self) -> object: ...


def send(stream: Writable, header: Mapping[str, object], arrays: Arrays | None = None) -> None:
    """Write one message; arrays are numpy arrays of float32, int32 or int64."""
    contiguous = {name: np.ascontiguousarray(array) for name, array in (arrays or {}).items()}
    descriptions = [[name, array.dtype.str, list(array.shape)] for name, array in contiguous.items()]
    text = json.dumps({**header, "arrays": descriptions}).encode()
    stream.write(MAGIC + struct.pack(">I", len(text)) + text)
    for array in contiguous.values():
        stream.write(array.data.cast("B") if array.size else b"")
    stream.flush()


def receive(read: Callable[[int], bytes]) -> Message | None:
    """Read the (header, arrays) of the next message, or None at the end of the stream.

    `read(n)` returns n bytes, or fewer at the end of the stream. Garbled if the input is not a message, or ends within
    one.
    """
    start = read(8)
    if not start:
        return None
    if len(start) < 8 or start[:4] != MAGIC:
        raise Garbled(f"{start!r} is not the start of a message")
    length = struct.unpack(">I", start[4:])[0]
    if length > MAX_HEADER_BYTES:
        raise Garbled(f"a header of {length} bytes")
    try:
        header = json.loads(_read_exactly(read, length))
        arrays = {}
        for name, dtype, shape in header.pop("arrays"):
            if dtype not in DTYPES or any(not isinstance(n, int) or n < 0 for n in shape):
                raise Garbled(f"array {name!r} of {dtype!r}, {shape!r}")
            size = np.dtype(dtype).itemsize * math.prod(shape)
            arrays[name] = np.frombuffer(_read_exactly(read, size), dtype).reshape(shape)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Garbled(f"a damaged header ({error})") from error
    return header, arrays


def _read_exactly(read: Callable[[int], bytes], size: int) -> bytes:
    content = read(size)
    if len(content) != size:
        raise Garbled(f"expected {size} bytes, got {len(content)}")
    return content


def csr(arrays: Arrays, name: str, shape: Any) -> Any:
    """Build a CSR matrix from the arrays NAME.data, NAME.indices and NAME.indptr."""
    import scipy.sparse as sp

    parts = tuple(arrays.pop(f"{name}.{part}").copy() for part in ("data", "indices", "indptr"))
    return sp.csr_matrix(parts, shape=tuple(shape), dtype=np.float32)


class Server:
    """Handles the requests train, load and predict. Models are in subfolders 0, 1, … of the folder in the request."""

    def __init__(self) -> None:
        self.folders: list[str] = []
        self.models: dict[str, list[Any]] = {}

    def train(self, request: Header, arrays: Arrays) -> Message:
        """Train one model per seed: PIFA label features, hierarchical k-means, linear rankers."""
        from pecos.xmc import Indexer, LabelEmbeddingFactory
        from pecos.xmc.xlinear.model import XLinearModel

        x, y = csr(arrays, "x", request["x"]), csr(arrays, "y", request["y"])
        threads, start = request["threads"], time.perf_counter()
        features = LabelEmbeddingFactory.create(y, x, method="pifa", threads=threads)
        for number, seed in enumerate(request["seeds"]):
            chain = Indexer.gen(
                features, indexer_type="hierarchicalkmeans", seed=seed, threads=threads, **request["clustering"]
            )
            model = XLinearModel.train(x, y, C=chain, threads=threads, **request["training"])
            model.save(os.path.join(request["folder"], str(number)))
        return {"seconds": time.perf_counter() - start}, {}

    def load(self, request: Header, arrays: Arrays) -> Message:
        """Load the weights in the fastest forms for batches and single rows; PECOS's default is many times slower."""
        from pecos.xmc.xlinear.model import XLinearModel

        start = time.perf_counter()
        folders = [os.path.join(request["folder"], str(number)) for number in range(request["trees"])]
        for kind in ("HASH_CHUNKED", "BINARY_SEARCH_CHUNKED"):
            self.models[kind] = [XLinearModel.load(f, is_predict_only=True, weight_matrix_type=kind) for f in folders]
        return {"seconds": time.perf_counter() - start}, {}

    def predict(self, request: Header, arrays: Arrays) -> Message:
        """Predict with each model and sum the scores; the answer has the parts of a CSR matrix."""
        x, start = csr(arrays, "x", request["x"]), time.perf_counter()
        models = self.models["BINARY_SEARCH_CHUNKED" if x.shape[0] == 1 else "HASH_CHUNKED"]
        predictions = [
            m.predict(x, only_topk=request["k"], beam_size=request["beam"], threads=request["threads"]).tocsr()
            for m in models
        ]
        scores = predictions[0] if len(predictions) == 1 else sum(predictions[1:], predictions[0])
        seconds = time.perf_counter() - start
        dtypes = {"data": np.float32, "indices": np.int64, "indptr": np.int64}
        return {"seconds": seconds}, {part: getattr(scores, part).astype(dtype) for part, dtype in dtypes.items()}

    def answer(self, request: Header, arrays: Arrays) -> Message:
        """Handle a request; an error becomes an answer with "error" and "traceback"."""
        try:
            handler = {"train": self.train, "load": self.load, "predict": self.predict}[request["verb"]]
            header, answer_arrays = handler(request, arrays)
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            return {"error": text, "traceback": traceback.format_exc(limit=-4)}, {}
        return {**header, "peak_rss_bytes": peak_rss()}, answer_arrays


def peak_rss() -> int:
    """Peak resident memory of this process, in bytes.

    On Linux the value of getrusage includes the parent process, so /proc is read. macOS reports bytes, others KiB.
    """
    if os.path.exists("/proc/self/status"):
        with open("/proc/self/status") as file:
            return 1024 * int(next(line.split()[1] for line in file if line.startswith("VmHWM:")))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main() -> None:
    """Serve until standard input ends. Output that libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    requests = os.fdopen(os.dup(0), "rb")
    os.dup2(2, 1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    pending: queue.SimpleQueue[Message] = queue.SimpleQueue()

    def listen() -> None:
        try:
            while (message := receive(requests.read)) is not None:
                pending.put(message)
        finally:  # the input has ended or is invalid: nobody reads an answer
            os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    server = Server()
    while True:
        send(answers, *server.answer(*pending.get()))


if __name__ == "__main__":
    main()
