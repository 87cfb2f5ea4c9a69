"""One thread that predicts: requests that wait for it are predicted together, since a batch costs little more than one.

A model is used by one thread at a time, and the server's loop stays free to accept and refuse requests.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TYPE_CHECKING

from xmcbench.escaping import kind_of, plain_text
from xmcbench.models.model import Label, Model, Predictions
from xmcbench.topk import TopK

if TYPE_CHECKING:
    import scipy.sparse as sp

MOST_TEXTS = 256  # predicted together
Rows = list[list[Label]]


@dataclass
class Job:
    """A request: texts, features, or both, and what its client wants of them."""

    k: int
    above: float | None
    texts: list[str] | None = None
    features: sp.csr_matrix | None = None
    done: Future[Rows] = field(default_factory=Future)


class Predictor:
    """Predicts jobs in its own thread, in the order in which they came."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._waiting: SimpleQueue[Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="predict", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> Future[Rows]:
        """Queue a job; its future has a list of labels per row, or the error."""
        self._waiting.put(job)
        return job.done

    def close(self) -> None:
        """End the thread after the jobs that wait."""
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (job := self._waiting.get()) is not None:
            together, last = [job], False
            while not last and sum(len(one.texts or ()) for one in together) < MOST_TEXTS and not self._waiting.empty():
                following = self._waiting.get()
                last = following is None
                together += [] if following is None else [following]
            live = [one for one in together if one.done.set_running_or_notify_cancel()]
            depth = self.model.card.depth
            by_depth: dict[int, list[Job]] = {}
            for one in live:
                if one.features is not None:
                    self._predict(one)
                else:  # a method's first labels may depend on how many it is asked for
                    by_depth.setdefault(max(one.k, depth), []).append(one)
            for jobs in by_depth.values():
                self._predict_texts(jobs)
            if last:
                return

    def _predict_texts(self, jobs: list[Job]) -> None:
        """Predict the texts of jobs of one depth at once; one by one if that fails, so that no job fails for another's
        sake."""
        try:
            texts = [text for job in jobs for text in job.texts or ()]
            found = self.model.predict(texts, k=max(job.k for job in jobs))
            first = 0
            for job in jobs:
                last = first + len(job.texts or ())
                topk = TopK(found.topk.ids[first:last], found.topk.scores[first:last]).cut(job.k)
                job.done.set_result(list(Predictions(topk, found.naming).above(job.above)))
                first = last
        except BaseException as error:
            if len(jobs) == 1:
                _fail(jobs[0], error)
                return
            for job in jobs:
                if not job.done.done():
                    self._predict_texts([job])

    def _predict(self, job: Job) -> None:
        try:
            found = self.model.predict(job.texts, features=job.features, k=job.k, above=job.above)
            job.done.set_result(list(found))
        except BaseException as error:
            _fail(job, error)


def _fail(job: Job, error: BaseException) -> None:
    """Give the client of a job its error. One that ends programs, such as SystemExit of a plugin, ends nothing here."""
    if not isinstance(error, Exception):
        error = RuntimeError(f"{kind_of(error)}: {plain_text(error)}")
    job.done.set_exception(error)
