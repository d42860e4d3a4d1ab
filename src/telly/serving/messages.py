"""What requests and answers look like; the OpenAPI page is made of this."""

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
    str, AfterValidator(_known), Field(description="Of the code.", json_schema_extra={"enum": list(NAMES)})
]


class BaseRequest(BaseModel):
    """A request; what it does not know is an error."""

    model_config = ConfigDict(extra="forbid")


class SearchRequest(BaseRequest):
    """What to look for."""

    query: str = Field(min_length=1, max_length=1000, description="What the function does, in words.")
    top: int = Field(10, ge=1, le=100, description="How many functions.")
    by: By = Field("fused", description="What the order follows: the model's vectors, words (BM25), or both.")
    lines: int = Field(6, ge=0, le=MAX_LINES, description="Lines of code of each.")
    marked: bool = Field(False, description="Also each function in pieces for a page, the query's words marked.")


class ClonesRequest(BaseRequest):
    """Which clones to look for."""

    min_similarity: float | None = Field(
        None, gt=0, le=1, description="Least cosine; by default the run's threshold, else 0.95."
    )
    min_lines: int = Field(MIN_LINES, ge=1, description="Shorter functions are left out.")
    top: int = Field(20, ge=1, le=1000, description="How many groups, those with the most repeated lines.")


class CodeRequest(BaseRequest):
    """Functions to look at."""

    code: Code
    language: Language = "python"


class CompleteRequest(BaseRequest):
    """A line to write."""

    code: Code
    line: int | None = Field(None, ge=2, le=100_000, description="Its number, from 2; by default after the last.")


class GenerateRequest(BaseRequest):
    """A function to write."""

    description: str = Field(min_length=1, max_length=10_000, description="What the code should do.")


class Health(BaseModel):
    """The server answers."""

    status: str
    version: str


class About(BaseModel):
    """What is served."""

    name: str = Field(description="Of the folder.")
    functions: int = Field(description="In the index.")
    indexed: str = Field(description="When, in UTC.")
    model: str = Field(description="That searches.")


class FoundFunction(BaseModel):
    """A function and where it is."""

    path: str = Field(description="Under the folder; blank for code of the request.")
    line: int
    last_line: int
    name: str
    signature: str
    language: str
    description: str


class ChunkMessage(BaseModel):
    """Some text of a function."""

    text: str
    kind: str = Field(description="Such as keyword, string or comment; blank for any other.")
    match: bool = Field(description="Whether it is a word of the query.")


class Marked(BaseModel):
    """A function in pieces."""

    signature: list[ChunkMessage]
    description: list[ChunkMessage]
    lines: list[list[ChunkMessage]]
    more: int = Field(description="Lines of the function that are not among these.")


class HitMessage(FoundFunction):
    """A function that was found."""

    score: float = Field(description="What the order follows.")
    cosine: float | None = Field(description="Of query and function; null where it is not among the nearest.")
    bm25: float | None = Field(description="Of the query's words; null where it is not among the best.")
    snippet: str
    marked: Marked | None = Field(None, description="Only if asked for.")


class SearchAnswer(BaseModel):
    """Functions, best first."""

    query: str
    by: By
    model: str
    hits: list[HitMessage]


class ClonePairMessage(BaseModel):
    """Two functions of a group by their numbers in it, from 0."""

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
    functions: int = Field(description="That were compared.")
    total: int = Field(description="Groups there are.")
    groups: list[CloneGroupMessage]


class Summarized(FoundFunction):
    """A function and a sentence about it."""

    summary: str


class SummariesAnswer(BaseModel):
    """A summary of every function."""

    summaries: list[Summarized]


class CompleteAnswer(BaseModel):
    """A line that was written."""

    line: int
    text: str
    indent: str = Field(description="The white space that it begins with.")
    actual: str = Field(description="What stands there.")


class GenerateAnswer(BaseModel):
    """Code that was written."""

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
    """Why there is no answer."""

    error: str


_PROBLEMS = {
    401: "The token is missing or wrong.",
    408: "The request's body took too long.",
    409: "There is no model for this; the text says what to do.",
    413: "The request's body is too large.",
    422: "The request is not as expected; the text says what was.",
    503: "The server is busy, or the index cannot be read.",
    504: "The answer took too long.",
}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorMessage, "description": text} for status, text in _PROBLEMS.items()
}
"""What any call of the API may answer instead."""
