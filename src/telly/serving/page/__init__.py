"""The pages: search, and the reference made from the OpenAPI description; both load files of this server only."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from telly.reports import page as report_page

FILES = {
    "base.css": "text/css",
    "search.css": "text/css",
    "search.js": "text/javascript",
    "theme.js": "text/javascript",
}
"""Files that the pages load, and their media types."""
_OF_THE_REPORT = {"base.css": "report.css", "theme.js": "theme.js"}
"""Files shared with the report, by their names there."""
_LIMITS = {
    "exclusiveMinimum": "above {:g}",
    "minimum": "at least {:,.0f}",
    "maximum": "at most {:,.0f}",
    "maxLength": "at most {:,} characters",
}
"""Limits of OpenAPI that the page shows, in words."""


def read_page_file(name: str) -> str:
    """The text of a file of the pages."""
    if name in _OF_THE_REPORT:
        return report_page.read_page_file(_OF_THE_REPORT[name])
    return resources.files(__name__).joinpath(name).read_text(encoding="utf-8")


def render_reference(openapi: dict[str, Any]) -> str:
    """A page of an OpenAPI description: every call with what it takes and gives, and an example for curl."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    calls = [
        _call(openapi, method, path, call)
        for path, methods in openapi["paths"].items()
        for method, call in methods.items()
    ]
    template = environment.from_string(read_page_file("reference.html.j2"))
    return template.render(info=openapi["info"], calls=calls)


def _call(openapi: dict[str, Any], method: str, path: str, call: dict[str, Any]) -> dict[str, Any]:
    body = call.get("requestBody")
    fields = _fields(openapi, body["content"]["application/json"]["schema"]) if body else []
    fields += [
        {"name": one["name"], "required": one["required"], **_field(openapi, one["schema"])}
        for one in call.get("parameters", ())
    ]
    given = call["responses"]["200"]["content"]["application/json"]["schema"]
    return {
        "id": call["operationId"],
        "method": method.upper(),
        "path": path,
        "summary": call["summary"],
        "closed": bool(call.get("security")),
        "takes": fields,
        "gives": _fields(openapi, given),
        "example": _example(method, path, fields, closed=bool(call.get("security"))),
        "problems": [(s, one["description"]) for s, one in call["responses"].items() if "Problem" in str(one)],
    }


def _example(method: str, path: str, fields: list[dict[str, Any]], *, closed: bool) -> str:
    examples = {"query": "parse a date", "code": "def add(a, b):\n    return a + b\n", "description": "add two numbers"}
    values = {one["name"]: examples[one["name"]] for one in fields if one["name"] in examples}
    parts = ["curl", '-H "Authorization: Bearer $TELLY_TOKEN"'] if closed else ["curl"]
    if method == "get":
        parts += ["-G", *(f"--data-urlencode '{name}={value}'" for name, value in values.items())] if values else []
    else:
        parts.append(f"--json '{json.dumps(values)}'")
    return " ".join([*parts, f"$URL{path}"])


def _resolved(openapi: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = openapi["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def _fields(openapi: dict[str, Any], schema: dict[str, Any]) -> list[dict[str, Any]]:
    """A schema's fields, each with the fields of what it holds."""
    schema = _resolved(openapi, schema)
    required = schema.get("required", ())
    return [
        {"name": name, "required": name in required, **_field(openapi, one)}
        for name, one in schema.get("properties", {}).items()
    ]


def _field(openapi: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    kind, inner = _kind(openapi, schema)
    either = [schema, *schema.get("anyOf", ())]
    limits = {name: value for one in either for name, value in one.items()}
    return {
        "kind": kind,
        "fields": inner,
        "description": schema.get("description", ""),
        "default": json.dumps(schema["default"]) if schema.get("default") is not None else "",
        "limits": ", ".join(text.format(limits[name]) for name, text in _LIMITS.items() if name in limits),
    }


def _kind(openapi: dict[str, Any], schema: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """Type of a value in words, and the fields of the objects in it."""
    if "$ref" in schema:
        return "object", _fields(openapi, schema)
    if "anyOf" in schema:
        found = [_kind(openapi, one) for one in schema["anyOf"]]
        return " or ".join(kind for kind, _ in found), [field for _, fields in found for field in fields]
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"])), []
    if schema.get("type") == "array":
        kind, fields = _kind(openapi, schema["items"])
        return f"list of {kind}s", fields
    if isinstance(values := schema.get("additionalProperties"), dict):
        return f"{_kind(openapi, values)[0]} by name", []
    return {"null": "null", "integer": "whole number"}.get(schema["type"], schema["type"]), []
