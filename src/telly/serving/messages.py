"""Schemas of requests and responses, from which the OpenAPI page is made."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from telly.mining.repository.languages import NAMES
from telly.using.clones import MIN_LINES, Kind
from telly.using.search import By

MAX_LINES = 500


def _known(language: str) -> str:
    if language not in NAMES:
        raise ValueError(f"unknown language; known: {', '.join(NAMES)}")
    return language


Code = Annotated[str, Field(min_length=1, max_length=100_000, description="The text of a source file.")]
Language = Annotated[
    str, AfterValidator(_known), Field(description="Language of the code.", json_schema_extra={"enum": list(NAMES)})
]


class BaseRequest(BaseModel):
    """A request; unknown fields are an error."""

    model_config = ConfigDict(extra="forbid")


class SearchRequest(BaseRequest):
    """A search."""

    query: str = Field(min_length=1, max_length=1000, description="What the function does, in words.")
    top: int = Field(10, ge=1, le=100, description="Number of functions.")
    by: By = Field("fused", description="Ranking: by the model's embeddings, by words (BM25), or both.")
    lines: int = Field(6, ge=0, le=MAX_LINES, description="Lines of code per function.")
    marked: bool = Field(
        False, description="Also return each function in chunks for a page, with the query's words marked."
    )


class ClonesRequest(BaseRequest):
    """A search for clones."""

    min_similarity: float | None = Field(
        None,
        description="Minimum similarity by the model's measure; by default the run's threshold, else a cosine of 0.95.",
    )
    min_lines: int = Field(MIN_LINES, ge=1, description="Minimum number of lines of a function.")
    top: int = Field(20, ge=1, le=1000, description="Number of groups, most repeated lines first.")


class CodeRequest(BaseRequest):
    """Code whose functions are summarized or classified."""

    code: Code
    language: Language = "python"


class CompleteRequest(BaseRequest):
    """A line to generate."""

    code: Code
    line: int | None = Field(
        None, ge=2, le=100_000, description="Line number, from 2; by default the line after the last."
    )


class GenerateRequest(BaseRequest):
    """A function to generate."""

    description: str = Field(min_length=1, max_length=10_000, description="What the code should do.")


class Health(BaseModel):
    """Health of the server."""

    status: str
    version: str


class About(BaseModel):
    """The server's index."""

    name: str = Field(description="Name of the folder.")
    functions: int = Field(description="Number of functions in the index.")
    indexed: str = Field(description="Time of the last update, in UTC.")
    model: str = Field(description="Model of the index.")


class FoundFunction(BaseModel):
    """A function and where it is."""

    path: str = Field(description="Path in the folder; blank for code of the request.")
    line: int
    last_line: int
    name: str
    signature: str
    language: str
    description: str


class ChunkMessage(BaseModel):
    """A chunk of a function's text."""

    text: str
    kind: str = Field(description="Kind such as keyword, string or comment; blank for any other.")
    match: bool = Field(description="True for a word of the query.")


class Marked(BaseModel):
    """A function in chunks."""

    signature: list[ChunkMessage]
    description: list[ChunkMessage]
    lines: list[list[ChunkMessage]]
    more: int = Field(description="Number of lines of the function after these.")


class HitMessage(FoundFunction):
    """A search result."""

    score: float = Field(description="Score of the ranking.")
    similarity: float | None = Field(
        description="Similarity of query and function by the model's measure, by default the cosine; null if it is not "
        "among the nearest."
    )
    bm25: float | None = Field(description="BM25 of the query's words; null if it is not among the best.")
    snippet: str
    marked: Marked | None = Field(None, description="Only with `marked`.")


class SearchAnswer(BaseModel):
    """Search results, best first."""

    query: str
    by: By
    model: str
    hits: list[HitMessage]


class ClonePairMessage(BaseModel):
    """Two functions of a group, by their indices in it."""

    left: int
    right: int
    similarity: float
    kind: Kind


class CloneGroupMessage(BaseModel):
    """Functions that are clones of each other."""

    kind: Kind
    repeated_lines: int
    functions: list[FoundFunction]
    pairs: list[ClonePairMessage]


class ClonesAnswer(BaseModel):
    """The clones of the folder."""

    model: str
    min_similarity: float
    min_lines: int
    functions: int = Field(description="Number of functions compared.")
    total: int = Field(description="Number of all groups.")
    groups: list[CloneGroupMessage]


class Summarized(FoundFunction):
    """A function and a sentence about it."""

    summary: str


class SummariesAnswer(BaseModel):
    """A summary of every function."""

    summaries: list[Summarized]


class CompleteAnswer(BaseModel):
    """A generated line."""

    line: int
    text: str
    indent: str = Field(description="White space before the text.")
    actual: str = Field(description="Text that the file has there.")


class GenerateAnswer(BaseModel):
    """Generated code."""

    description: str
    code: str


class ClassifiedMessage(FoundFunction):
    """A function and its class."""

    label: str
    probabilities: dict[str, float]


class ClassesAnswer(BaseModel):
    """The class of every function."""

    functions: list[ClassifiedMessage]


class ErrorMessage(BaseModel):
    """An error."""

    error: str


_PROBLEMS = {
    401: "The token is missing or wrong.",
    408: "The request's body took too long.",
    409: "There is no model for this; the text says what to do.",
    413: "The request's body is too large.",
    422: "The request is invalid; the text says what was expected.",
    503: "The server is busy, or the index cannot be read.",
    504: "The answer took too long.",
}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorMessage, "description": text} for status, text in _PROBLEMS.items()
}
"""Responses with errors, the same for every call of the API."""
