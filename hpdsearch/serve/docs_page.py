"""The page /docs: the OpenAPI description as plain HTML. It needs no script and loads nothing from anywhere."""

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

CONTENT_SECURITY_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font: 14px/1.45 ui-monospace, monospace; }
pre { overflow-x: auto; padding: .75rem; border: 1px solid #8886; border-radius: 6px; }
section { border-top: 1px solid #8886; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #8883; }
.method { font-weight: 700; }
"""


def render_docs(description: Mapping[str, Any]) -> str:
    """Return the page for an OpenAPI description."""
    info = description["info"]
    parts = [f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>", _paragraphs(info.get("description", ""))]
    parts.append('<p>The same as data: <a href="openapi.json">openapi.json</a></p>')
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            parts += _render_operation(description, path, method, operation)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(info['title'])}</title><style>{STYLE}</style></head><body>{''.join(parts)}</body></html>"
    )


def _render_operation(
    description: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any]
) -> Iterator[str]:
    yield f"<section><h2>{escape(operation.get('summary', path))}</h2>"
    yield f'<p><code><span class="method">{method.upper()}</span> {escape(path)}</code></p>'
    yield _paragraphs(operation.get("description", ""))
    rows = [(each["name"], each["schema"], each.get("required", False)) for each in operation.get("parameters", [])]
    if rows:
        yield "<h3>Parameters</h3>" + _table(rows)
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"<h3>Body: {escape(media_type)}</h3>"
        yield from _render_body(description, content)
    yield "</section>"


def _render_body(description: Mapping[str, Any], content: Mapping[str, Any]) -> Iterator[str]:
    if "example" in content:
        yield f"<pre>{escape(content['example'])}</pre>"
    schema = content.get("schema", {})
    for each in schema.get("anyOf", [schema]):
        resolved = _resolve(description, each)
        properties = resolved.get("properties")
        if properties:
            required = resolved.get("required", [])
            yield _table([(name, field, name in required) for name, field in properties.items()])
        for example in resolved.get("examples", []):
            yield f"<pre>{escape(json.dumps(example, ensure_ascii=False))}</pre>"


def _table(rows: list[tuple[str, Mapping[str, Any], bool]]) -> str:
    lines = []
    for name, schema, is_required in rows:
        default = "required" if is_required else _describe_default(schema)
        cells = (f"<code>{escape(name)}</code>", escape(_describe_type(schema)), escape(default))
        lines.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in (*cells, escape(schema.get("description", "")))))
    return f"<table><tr><th>Name<th>Type<th>Default<th>Meaning</tr>{''.join(lines)}</table>"


def _describe_default(schema: Mapping[str, Any]) -> str:
    return json.dumps(schema["default"]) if schema.get("default") is not None else ""


def _describe_type(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(_describe_type(each) for each in schema["anyOf"] if each.get("type") != "null")
    if schema.get("type") == "array":
        return f"list of {_describe_type(schema.get('items', {}))}"
    return str(schema.get("type", "any"))


def _resolve(description: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in schema:
        return schema
    found: Mapping[str, Any] = description["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{escape(each)}</p>" for each in text.split("\n\n") if each.strip())
