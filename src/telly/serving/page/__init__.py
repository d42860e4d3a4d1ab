"""Pages for search and for the API's reference, made from OpenAPI; they load files of this server only."""

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
_REPORT_FILES = {"base.css": "report.css", "theme.js": "theme.js"}
"""Files shared with the report, by their names there."""
_LIMITS = {
    "exclusiveMinimum": "above {:g}",
    "minimum": "at least {:,.0f}",
    "maximum": "at most {:,.0f}",
    "maxLength": "at most {:,} characters",
}
"""OpenAPI's limits that the page shows, in words."""


def read_page_file(name: str) -> str:
    """The text of a file of the pages."""
    if name in _REPORT_FILES:
        return report_page.read_page_file(_REPORT_FILES[name])
    return resources.files(__name__).joinpath(name).read_text(encoding="utf-8")


def render_reference(openapi: dict[str, Any]) -> str:
    """Render an OpenAPI description: every call with its parameters, response, errors and an example for curl."""
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
        {"name": parameter["name"], "required": parameter["required"], **_field(openapi, parameter["schema"])}
        for parameter in call.get("parameters", ())
    ]
    responses = call["responses"]
    needs_token = bool(call.get("security"))
    return {
        "id": call["operationId"],
        "method": method.upper(),
        "path": path,
        "summary": call["summary"],
        "parameters": fields,
        "response": _fields(openapi, responses["200"]["content"]["application/json"]["schema"]),
        "example": _example(method, path, fields, needs_token=needs_token),
        "errors": [(status, response["description"]) for status, response in responses.items() if status != "200"],
    }


def _example(method: str, path: str, fields: list[dict[str, Any]], *, needs_token: bool) -> str:
    examples = {"query": "parse a date", "code": "def add(a, b):\n    return a + b\n", "description": "add two numbers"}
    values = {field["name"]: examples[field["name"]] for field in fields if field["name"] in examples}
    parts = ["curl", '-H "Authorization: Bearer $TELLY_TOKEN"'] if needs_token else ["curl"]
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
    """Fields of a schema, each with the fields of its own schema."""
    schema = _resolved(openapi, schema)
    required = schema.get("required", ())
    return [
        {"name": name, "required": name in required, **_field(openapi, field)}
        for name, field in schema.get("properties", {}).items()
    ]


def _field(openapi: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    kind, inner = _kind(openapi, schema)
    alternatives = [schema, *schema.get("anyOf", ())]
    limits = {name: value for alternative in alternatives for name, value in alternative.items()}
    return {
        "kind": kind,
        "fields": inner,
        "description": schema.get("description", ""),
        "default": json.dumps(schema["default"]) if schema.get("default") is not None else "",
        "limits": ", ".join(text.format(limits[name]) for name, text in _LIMITS.items() if name in limits),
    }


def _kind(openapi: dict[str, Any], schema: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """Type of a value in words, and the fields of the objects that it contains."""
    if "$ref" in schema:
        return "object", _fields(openapi, schema)
    if "anyOf" in schema:
        kinds = [_kind(openapi, alternative) for alternative in schema["anyOf"]]
        return " or ".join(kind for kind, _ in kinds), [field for _, fields in kinds for field in fields]
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"])), []
    if schema.get("type") == "array":
        kind, fields = _kind(openapi, schema["items"])
        return f"list of {kind}s", fields
    if isinstance(values := schema.get("additionalProperties"), dict):
        return f"{_kind(openapi, values)[0]} by name", []
    return {"null": "null", "integer": "whole number"}.get(schema["type"], schema["type"]), []
