"""The application: routes to the library's calls, and the middleware before them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from typing import Annotated

from fastapi import APIRouter, FastAPI, Query, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, Response

from telly.errors import CodeIndexError, TellyError
from telly.serving import messages
from telly.serving.access import Gate, SecurityHeaders, refusal
from telly.serving.library import Library, NoModelError
from telly.serving.limits import Limits
from telly.serving.page import FILES, read_page_file, render_reference
from telly.serving.settings import ServerSettings
from telly.serving.worker import Worker
from telly.using.answers import Answer

STATUS: tuple[tuple[type[TellyError], int], ...] = ((NoModelError, 409), (CodeIndexError, 503), (TellyError, 422))
"""HTTP status by class of error; the first that matches counts."""


def create_app(library: Library, settings: ServerSettings) -> FastAPI:
    """The server's application.

    Args:
        library: index and models.
        settings: token and limits.
    """
    # FastAPI's own pages for the API load their scripts from another server
    app = FastAPI(title="telly", version=version("telly"), docs_url=None, redoc_url=None)
    app.include_router(_health())
    app.include_router(_api(library))
    _add_pages(app)
    for kind, handler in ((TellyError, _telly_error), (RequestValidationError, _invalid_request),
                          (HTTPException, _http_error), (Exception, _server_error)):  # fmt: skip
        app.add_exception_handler(kind, handler)
    app.add_middleware(Limits, settings=settings)  # the middleware added last gets requests first
    app.add_middleware(Gate, token=settings.token)
    app.add_middleware(SecurityHeaders)
    return app


def _health() -> APIRouter:
    router = APIRouter(prefix="/api", tags=["server"])

    @router.get("/health", summary="Health of the server; needs no token")
    async def health() -> messages.Health:
        return messages.Health(status="ok", version=version("telly"))

    return router


def _api(library: Library) -> APIRouter:
    # `Gate` has checked the token before; it is declared here for the OpenAPI page
    declared = [Security(HTTPBearer(auto_error=False, description="The server's token, where it has one."))]
    router = APIRouter(prefix="/api", dependencies=declared, responses=messages.PROBLEMS)
    workers = {name: Worker(name) for name in ("search", "clones", "summarize", "complete", "generate", "classify")}

    async def run(name: str, call: Callable[[], Answer]) -> JSONResponse:
        return JSONResponse(await workers[name].run(call))

    @router.get("/about", summary="The folder, its index and the model", tags=["server"], response_model=messages.About)
    async def about() -> Response:
        return JSONResponse(library.about())

    async def search(request: messages.SearchRequest) -> Response:
        call = partial(library.search, request.query, request.top, request.by, request.lines, with_marks=request.marked)
        return await run("search", call)

    @router.post("/search", summary="Functions that fit a sentence", tags=["folder"],
                 response_model=messages.SearchAnswer)  # fmt: skip
    async def post_search(request: messages.SearchRequest) -> Response:
        return await search(request)

    @router.get("/search", summary="The same search by GET, for browsers and curl", tags=["folder"],
                response_model=messages.SearchAnswer)  # fmt: skip
    async def get_search(request: Annotated[messages.SearchRequest, Query()]) -> Response:
        return await search(request)

    @router.post("/clones", summary="Groups of functions that do the same thing", tags=["folder"],
                 response_model=messages.ClonesAnswer)  # fmt: skip
    async def clones(request: messages.ClonesRequest) -> Response:
        return await run("clones", partial(library.clones, request.min_similarity, request.min_lines, request.top))

    @router.post("/summarize", summary="A sentence about every function of a text", tags=["text"],
                 response_model=messages.SummariesAnswer)  # fmt: skip
    async def summarize(request: messages.CodeRequest) -> Response:
        return await run("summarize", partial(library.summarize, request.code, request.language))

    @router.post("/complete", summary="A line of a text, from the lines before it", tags=["text"],
                 response_model=messages.CompleteAnswer)  # fmt: skip
    async def complete(request: messages.CompleteRequest) -> Response:
        return await run("complete", partial(library.complete, request.code, request.line))

    @router.post("/generate", summary="Code that a text describes", tags=["text"],
                 response_model=messages.GenerateAnswer)  # fmt: skip
    async def generate(request: messages.GenerateRequest) -> Response:
        return await run("generate", partial(library.generate, request.description))

    @router.post("/classify", summary="The class of every function of a text", tags=["text"],
                 response_model=messages.ClassesAnswer)  # fmt: skip
    async def classify(request: messages.CodeRequest) -> Response:
        return await run("classify", partial(library.classify, request.code, request.language))

    return router


def _add_pages(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return HTMLResponse(read_page_file("search.html"))

    @app.get("/docs", include_in_schema=False)
    async def reference() -> Response:
        return HTMLResponse(render_reference(app.openapi()))

    @app.get("/page/{name}", include_in_schema=False)
    async def file(name: str) -> Response:
        if name not in FILES:
            raise HTTPException(404)
        return Response(read_page_file(name), media_type=FILES[name])


async def _telly_error(_request: Request, error: Exception) -> Response:
    status = next(status for kind, status in STATUS if isinstance(error, kind))
    return refusal(status, str(error))


async def _invalid_request(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    problems = []
    for problem in error.errors():
        name = ".".join(str(part) for part in problem["loc"][1:])
        text = str(problem["msg"]).removeprefix("Value error, ")
        problems.append(f"{name}: {text}" if name else text)
    return refusal(422, "; ".join(dict.fromkeys(problems)))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    texts = {404: f"there is no {request.url.path}; /docs lists what there is",
             405: f"{request.url.path} is not for {request.method}; /docs lists what there is"}  # fmt: skip
    return JSONResponse({"error": texts.get(error.status_code, error.detail)}, error.status_code, error.headers)


async def _server_error(_request: Request, _error: Exception) -> Response:
    return refusal(500, "the server failed on this request; its log says why")
