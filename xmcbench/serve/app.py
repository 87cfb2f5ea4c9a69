"""The paths of the server: /predict for programs, / for people, /health, /model, /docs and /openapi.json.

Every answer to a program is JSON; errors are `{"error": …, "hint": …}` with a status of 4xx. Pages need nothing from
other hosts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs

import jinja2
import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from markupsafe import escape
from starlette.exceptions import HTTPException

from xmcbench import __version__
from xmcbench.data.spec import title_of
from xmcbench.errors import UsageError, XmcError
from xmcbench.escaping import clean_lines, html
from xmcbench.models.model import Label, Model
from xmcbench.serve.batching import Job, Predictor
from xmcbench.serve.bodies import WholeBodies, error_answer
from xmcbench.serve.requests import MOST_LABELS, PredictAnswer, PredictRequest, decoded, encoded, job_of

PATHS = "There are POST /predict, GET /, /model, /health, /docs and /openapi.json."
MOST_FORM = 1 << 20  # bytes of a form, which takes longer to decode and to show again than JSON


def create_app(model: Model) -> FastAPI:
    """The server of a model."""
    pages = jinja2.Environment(
        loader=jinja2.PackageLoader("xmcbench", "serve/pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=html,
    )
    pages.globals["title_of"] = title_of

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
    app.add_middleware(WholeBodies)
    app.exception_handler(XmcError)(_refused)
    app.exception_handler(HTTPException)(_unanswered)
    app.exception_handler(Exception)(_failed)
    card = {
        name: value for name, value in msgspec.to_builtins(model.card).items() if name not in ("files", "sizes", "seal")
    }
    (request_schema, answer_schema), schemas = msgspec.json.schema_components(
        (PredictRequest, PredictAnswer), ref_template="#/components/schemas/{name}"
    )
    described = {"requestBody": _json(request_schema) | {"required": True}, "responses": {"200": _json(answer_schema)}}

    async def labels(job: Job) -> list[list[Label]]:
        return await asyncio.wrap_future(app.state.predictor.submit(job))

    @app.post("/predict", summary="Labels of new rows", openapi_extra=described)
    async def predict(request: Request) -> Response:
        job = job_of(model, decoded(await request.body()))
        return Response(encoded(await labels(job)), media_type="application/json")

    @app.get("/health", summary="Whether the server answers")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/model", summary="Method, parameters, data set, scores and versions of the model")
    async def about() -> dict[str, object]:
        return card

    @app.get("/", include_in_schema=False)
    async def form() -> HTMLResponse:
        return page()

    @app.post("/", include_in_schema=False)
    async def answer(request: Request) -> HTMLResponse:
        text, k = "", 5
        try:
            text, k = _fields(await request.body())
            return page(text, k, (await labels(Job(k, None, texts=[text])))[0])
        except XmcError as error:
            return page(text, k, problem=error)

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        values = {"schema": app.openapi(), "address": str(request.base_url).rstrip("/")}
        return HTMLResponse(pages.get_template("docs.html").render(values))

    def page(
        text: str = "", k: int = 5, found: list[Label] | None = None, problem: XmcError | None = None
    ) -> HTMLResponse:
        values = {
            "card": model.card,
            "reads_texts": model.reads_texts,
            "has_both": model.has_both,
            "most": MOST_LABELS,
            "k": k,
        }
        values |= {"found": found, "problem": problem}
        shown = pages.get_template("form.html").render(values, text=escape(clean_lines(text)))
        return HTMLResponse(shown, 200 if problem is None else 422)

    app.openapi()["components"] = {"schemas": schemas}
    return app


def _fields(body: bytes) -> tuple[str, int]:
    """The text and the number of labels of a form. Raises UsageError: too large, or no such number."""
    if len(body) > MOST_FORM:
        raise UsageError(f"the text has more than {MOST_FORM:,} bytes", "POST /predict takes longer ones.")
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=10)
    except ValueError as error:
        raise UsageError(f"the form can't be read ({error})", "It has the fields text and k.") from error
    k = fields.get("k", ["5"])[0]
    if not (k.isdecimal() and len(k) < 10 and 1 <= int(k) <= MOST_LABELS):
        raise UsageError(f"the number of labels is {k[:20]!r}", f"Give 1 to {MOST_LABELS}.")
    if "text" not in fields:
        raise UsageError("the form has no field text", "It has the fields text and k, sent as a browser does.")
    return fields["text"][0], int(k)


def _json(schema: object) -> dict[str, object]:
    return {"content": {"application/json": {"schema": schema}}}


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, XmcError)
    return error_answer(422, error.message, error.hint)


async def _unanswered(request: Request, error: Exception) -> Response:
    """A path or a method that there is not."""
    assert isinstance(error, HTTPException)
    return error_answer(error.status_code, f"{request.method} {request.url.path[:200]}: {error.detail}", PATHS)


async def _failed(request: Request, error: Exception) -> Response:
    """A fault of the method or of the server, whose traceback uvicorn logs."""
    return error_answer(500, f"the model failed ({type(error).__name__})", "The server's log says more.")
