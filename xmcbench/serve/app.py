"""The paths of the server: /predict for programs, / for people, /health, /model, /docs and /openapi.json.

Every answer to a program is JSON; errors are `{"error": …, "hint": …}` with a status of 4xx. Pages need nothing from
other hosts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import parse_qs

import jinja2
import msgspec
import numpy as np
import scipy.sparse as sp
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from xmcbench import __version__
from xmcbench.errors import UsageError, XmcError
from xmcbench.escaping import clean
from xmcbench.models.model import Label, Model
from xmcbench.serve.batching import Job, Predictor

MOST_BYTES = 1 << 24  # of a request
MOST_ROWS = 1000  # of a request
MOST_LABELS = 1000  # of a row
READ_SECONDS = 30  # for the body of a request


class PredictRequest(BaseModel):
    """Rows to label: one text, several texts, or features."""

    model_config = ConfigDict(extra="forbid")

    text: str | None = Field(None, description="One text.")
    texts: list[str] | None = Field(None, max_length=MOST_ROWS, description="Several texts.")
    features: list[dict[int, float]] | None = Field(
        None, max_length=MOST_ROWS, description="Rows of features as {id: value}, for models that read features."
    )
    k: int = Field(5, ge=1, le=MOST_LABELS, description="Labels of each row.")
    above: float | None = Field(None, allow_inf_nan=False, description="Only labels with a score above this.")


class LabelAnswer(BaseModel):
    """A predicted label."""

    label: int
    name: str
    score: float


class RowAnswer(BaseModel):
    """The labels of a row, best first."""

    labels: list[LabelAnswer]


class PredictAnswer(BaseModel):
    """One entry per row, in the order of the request."""

    rows: list[RowAnswer]


def create_app(model: Model) -> FastAPI:
    """The server of a model."""
    pages = jinja2.Environment(
        loader=jinja2.PackageLoader("xmcbench", "serve/pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: clean(value) if isinstance(value, str) else value,
    )

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        predictor = app.state.predictor = Predictor(model)
        yield
        await asyncio.to_thread(predictor.close)

    app = FastAPI(
        title=f"xmcbench: {model.card.method.label} on {model.card.dataset.name}",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        lifespan=running,
    )
    app.middleware("http")(_limited)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(XmcError)(_refused)
    app.exception_handler(HTTPException)(_no_such_path)
    card = {name: value for name, value in msgspec.to_builtins(model.card).items() if name not in ("files", "seal")}

    async def labels(job: Job) -> list[list[Label]]:
        return await asyncio.wrap_future(app.state.predictor.submit(job))

    @app.post("/predict", summary="Labels of new rows")
    async def predict(request: PredictRequest) -> PredictAnswer:
        rows = await labels(_job(model, request))
        return PredictAnswer(
            rows=[
                RowAnswer(labels=[LabelAnswer(label=one.id, name=one.name, score=one.score) for one in row])
                for row in rows
            ]
        )

    @app.get("/health", summary="Whether the server answers")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/model", summary="Method, parameters, data set, scores and versions of the model")
    async def about() -> dict[str, object]:
        return card

    @app.get("/", include_in_schema=False)
    async def form() -> HTMLResponse:
        return page("", 5, None)

    @app.post("/", include_in_schema=False)
    async def answer(request: Request) -> HTMLResponse:
        fields = parse_qs((await request.body()).decode("utf-8", "replace"), keep_blank_values=True)
        text, k_text = fields.get("text", [""])[0], fields.get("k", ["5"])[0]
        k = int(k_text) if k_text.isdecimal() and 1 <= int(k_text[:9]) <= MOST_LABELS else 5
        return page(text, k, (await labels(Job(k, None, texts=[text])))[0])

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        values = {"schema": app.openapi(), "url": str(request.base_url)}
        return HTMLResponse(pages.get_template("docs.html").render(values))

    def page(text: str, k: int, found: list[Label] | None) -> HTMLResponse:
        values = {"card": model.card, "text": text, "k": k, "found": found, "reads_texts": model.reads_texts}
        return HTMLResponse(pages.get_template("form.html").render(values))

    return app


def _job(model: Model, request: PredictRequest) -> Job:
    """The job of a request. Raises UsageError: not exactly one kind of rows, or a threshold that means nothing."""
    given = [request.text is not None, request.texts is not None, request.features is not None]
    if sum(given) != 1:
        raise UsageError("give one of text, texts and features")
    if request.above is not None:
        model.check_above()
    if request.features is not None:
        return Job(request.k, request.above, features=_matrix(request.features, model.card.dataset.n_features or 0))
    if not model.reads_texts:
        model.inputs([])  # says that it reads features
    return Job(request.k, request.above, texts=[request.text] if request.text is not None else request.texts)


def _matrix(rows: list[dict[int, float]], width: int) -> sp.csr_matrix:
    indptr = np.cumsum([0, *map(len, rows)])
    ids = np.array([i for row in rows for i in row], np.int64)
    if len(ids) and not 0 <= ids.min() <= ids.max() < width:
        wrong = int(ids.max() if ids.max() >= width else ids.min())
        raise UsageError(f"there is no feature {wrong}; ids go from 0 to {width - 1}")
    values = np.array([value for row in rows for value in row.values()], np.float32)
    return sp.csr_matrix((values, ids, indptr), shape=(len(rows), width))


async def _limited(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
    """Read the body within limits of size and time before anything decodes it."""
    size, chunks = 0, []
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared[:18]) > MOST_BYTES:
        return _error(413, f"a request of {declared} bytes; at most {MOST_BYTES} are read", "Send fewer texts at once.")
    try:
        async with asyncio.timeout(READ_SECONDS):
            async for chunk in request.stream():
                size += len(chunk)
                if size > MOST_BYTES:
                    return _error(413, f"more than {MOST_BYTES} bytes", "Send fewer texts at once.")
                chunks.append(chunk)
    except TimeoutError:
        return _error(408, f"the request was not complete within {READ_SECONDS} s", "Send it again.")
    request._body = b"".join(chunks)
    if request.url.path == "/predict":  # `curl -d` says that JSON is a form, which FastAPI would not decode
        headers = [header for header in request.scope["headers"] if header[0] != b"content-type"]
        request.scope["headers"] = [*headers, (b"content-type", b"application/json")]
    return await call(request)


async def _invalid(request: Request, error: Exception) -> Response:
    """What is wrong with the JSON of a request, with the place of each fault."""
    assert isinstance(error, RequestValidationError)
    faults = []
    for one in error.errors()[:10]:
        place = ".".join(str(part) for part in one["loc"] if part != "body")
        faults.append(f"{place}: {one['msg']}" if place else str(one["msg"]))
    return _error(422, "; ".join(faults)[:2000], 'Send JSON such as {"text": "a new text", "k": 5}; see /docs.')


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, XmcError)
    return _error(422, error.message, error.hint)


async def _no_such_path(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    hint = "There are POST /predict, GET /, /model, /health, /docs and /openapi.json."
    return _error(error.status_code, f"{request.method} {request.url.path[:200]}: {error.detail}", hint)


def _error(status: int, message: str, hint: str) -> JSONResponse:
    return JSONResponse({"error": message, "hint": hint}, status)
