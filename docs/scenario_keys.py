"""The scenario reference: every key of a scenario file as a table, from the JSON Schema that editors read.

cog prints it into ``docs/scenario.md``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel

from beyond_chinchilla.costs import hardware, models
from beyond_chinchilla.laws import catalogue
from beyond_chinchilla.scenario.fields import MOST
from beyond_chinchilla.scenario.schema import ScenarioFile, json_schema

Schema = dict[str, Any]
# The commands that list what the schema enumerates.
_CATALOGUES = {
    "laws": catalogue.names,
    "hardware": hardware.names,
    "models": models.names,
}
# Of longer lists the page names the first.
_LONGEST_LIST = 12
HEAD = "| key | value | bounds | default | example | meaning |\n|---|---|---|---|---|---|"


def page() -> str:
    """Return the reference as markdown: the file's own keys, then one part for each kind of section."""
    schema = json_schema()
    sections = _sections(schema)
    units = dict(_units(ScenarioFile))
    headings = _headings(schema, sections)
    parts = ["## The file\n", _table("ScenarioFile", schema, headings, units)]
    for name, paths in sections.items():
        definition = schema["$defs"][name]
        also = f" The same keys: {', '.join(f'`{path}`' for path in paths[1:])}." if paths[1:] else ""
        parts += [f"\n## {headings[name]}\n", f"{_line(definition.get('description', ''))}{also}\n"]
        if definition.get("type") == "object" and definition.get("properties"):
            parts.append(_table(name, definition, headings, units))
        else:
            parts.append(f"Written as {_kind(definition, headings, '')}.")
    return "\n".join(parts)


def distributions() -> str:
    """Return the forms of an uncertain number, a line each."""
    described = json_schema(distributions=True)["$defs"]["Distribution"]["description"]
    forms = re.findall(r"\{(?:[^{}]|\{[^{}]*\})*\}", described)
    return "\n".join(f"- `{form}`" for form in forms)


def _sections(schema: Schema) -> dict[str, list[str]]:
    """Return the definitions that the file reaches, in order, each with the places where it stands."""
    found: dict[str, list[str]] = {}
    # (place, schema), the file's own keys first
    waiting = [(key, value) for key, value in schema["properties"].items()]
    while waiting:
        place, value = waiting.pop(0)
        inner = []
        for name in _references(value):
            if name in found and place in found[name]:
                continue
            is_new = name not in found
            found.setdefault(name, []).append(place)
            properties = schema["$defs"][name].get("properties", {})
            if is_new or properties:
                inner += [(f"{place}.{key}", field) for key, field in properties.items()]
        waiting = inner + waiting
    return found


def _headings(schema: Schema, sections: dict[str, list[str]]) -> dict[str, str]:
    """Return the heading of each definition: its first place, and where two share it, the key that tells them apart."""
    found: dict[str, str] = {}
    for name, paths in sections.items():
        heading = f"`{paths[0]}`"
        if heading in found.values():
            heading += f" with `{next(iter(schema['$defs'][name]['properties']))}`"
        found[name] = heading
    return found


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"].rsplit("/", 1)[1]
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def _units(model: type[BaseModel]) -> Iterator[tuple[tuple[str, str], str]]:
    """Yield the unit of a bare number, which a JSON Schema has no word for, by section and key."""
    for key, field in model.model_fields.items():
        for part in (*field.metadata, *_parts(field.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from _units(part)
            elif getattr(part, "unit", None):
                yield (model.__name__, key), part.unit


def _parts(annotation: Any) -> Iterator[Any]:
    if isinstance(annotation, type):
        yield annotation
    yield from getattr(annotation, "__metadata__", ())
    for inner in get_args(annotation):
        yield from _parts(inner)


def _anchor(heading: str) -> str:
    """Return the anchor that GitHub and MyST give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _table(name: str, definition: Schema, headings: dict[str, str], units: dict[tuple[str, str], str]) -> str:
    required = definition.get("required", [])
    rows = [HEAD]
    for key, value in definition["properties"].items():
        leaf = _leaf(value)
        percent = any("%" in str(example) for example in leaf.get("examples", ()))
        default = "required" if key in required else _default(value.get("default"), percent=percent)
        cells = [
            f"`{key}`",
            _kind(value, headings, units.get((name, key), "")),
            _bounds(leaf),
            default,
            ", ".join(f"`{example}`" for example in leaf.get("examples", [])),
            _line(_description(value, headings)),
        ]
        rows.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(rows)


def _alternatives(value: Schema) -> list[Schema]:
    """Return what a key may be, one schema each, without null."""
    if _is_number(value):
        return [value]
    found = []
    for inner in (*value.get("anyOf", ()), *value.get("oneOf", ()), *value.get("allOf", ())):
        found += _alternatives(inner)
    if not found:
        found = [value]
    return [one for one in found if one.get("type") != "null"]


def _is_number(value: Schema) -> bool:
    """Say whether a schema is a number that may also be written as text: ``1B``, ``50%``."""
    kinds = {one.get("type") for one in value.get("anyOf", ())}
    return "string" in kinds and bool(kinds & {"number", "integer"}) and len(value["anyOf"]) == 2


def _leaf(value: Schema) -> Schema:
    """Return the first alternative that says bounds or shows an example."""
    found = _alternatives(value)
    return next((one for one in found if _is_number(one) or "examples" in one), found[0])


def _description(value: Schema, headings: dict[str, str]) -> str:
    if "description" in value:
        return str(value["description"])
    for one in (*value.get("anyOf", ()), *value.get("oneOf", ()), value):
        if "description" in one:
            return str(one["description"])
    named = list(_references(value))
    return f"See {_link(named[0], headings)}." if named else ""


def _link(name: str, headings: dict[str, str]) -> str:
    return f"[below](#{_anchor(headings[name])})"


def _kind(value: Schema, headings: dict[str, str], unit: str) -> str:
    """Say in words what may be written."""
    kinds = list(dict.fromkeys(_one_kind(one, headings, unit) for one in _alternatives(value)))
    # "a name or a list of them" rather than all of it twice
    alone = " or ".join(kind for kind in kinds if not kind.startswith("list of "))
    return " or ".join("a list of these" if kind == f"list of {_plural(alone)}" else kind for kind in kinds)


def _one_kind(value: Schema, headings: dict[str, str], unit: str) -> str:
    if "$ref" in value:
        name = value["$ref"].rsplit("/", 1)[1]
        return f"[mapping](#{_anchor(headings[name])})"
    if _is_number(value):
        return _number_kind(value, unit)
    if "enum" in value or "const" in value:
        return _words(value.get("enum", [value.get("const")]))
    if value.get("type") in ("array", ["array", "null"]):
        ends = value.get("minItems"), value.get("maxItems")
        count = f"{ends[0]} " if ends[0] is not None and ends[0] == ends[1] else ""
        inner = _kind(value.get("items", {}), headings, unit)
        return f"list of {count}{_plural(inner)}"
    if value.get("type") == "object":
        inner_schema = value.get("additionalProperties")
        return f"mapping of names to {_kind(inner_schema, headings, unit)}" if inner_schema else "mapping"
    if value.get("type") == "string":
        return _text_kind(value.get("pattern", ""))
    if value.get("type") == "boolean":
        return "`true` or `false`"
    return f"number [{unit}]" if unit else "number"


def _plural(kind: str) -> str:
    """Return several of a kind."""
    if kind.startswith("list of "):
        return kind.replace("list", "lists", 1)
    if kind.startswith("[mapping]"):
        return kind.replace("[mapping]", "[mappings]", 1)
    return kind.replace("number", "numbers", 1) if "number" in kind else f"{kind}s"


def _number_kind(value: Schema, unit: str) -> str:
    number = next(one for one in value["anyOf"] if one["type"] != "string")
    word = "whole number" if number["type"] == "integer" else "number"
    return f"{word} [{unit}]" if unit else word


def _text_kind(pattern: str) -> str:
    if not pattern.startswith(r"^\d{4}-"):
        return "text"
    return "month" if pattern.count("-(") == 1 else "day"


def _words(values: list[Any]) -> str:
    for command, names in _CATALOGUES.items():
        if values == list(names()):
            return f"a name that `bc-opt {command}` lists"
    if len(values) <= _LONGEST_LIST:
        return ", ".join(f"`{word}`" for word in values)
    return ", ".join(f"`{word}`" for word in values[:_LONGEST_LIST]) + " ..."


def _bounds(leaf: Schema) -> str:
    """Say which numbers are accepted."""
    if not _is_number(leaf):
        most = leaf.get("maxLength")
        return f"at most {most} characters" if most else ""
    number = next(one for one in leaf["anyOf"] if one["type"] != "string")
    least, most = number.get("minimum"), number.get("maximum")
    percent = any("%" in str(example) for example in leaf.get("examples", ()))
    if "exclusiveMinimum" in number:
        return f"above 0, at most {_figure(most, percent=percent)}"
    if most == MOST:
        return "0 or more" if least == 0 else "above 0"
    if least is None or most is None:
        return ""
    return f"{_figure(least, percent=percent)} to {_figure(most, percent=percent)}"


def _figure(value: float, *, percent: bool) -> str:
    if percent:
        return f"{value * 100:g}%"
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _default(value: Any, *, percent: bool) -> str:
    if value is None or value is False or value in ([], {}):
        return ""
    if isinstance(value, dict):
        return ", ".join(f"`{key}: {inner}`" for key, inner in value.items() if inner is not None)
    return f"`{_figure(value, percent=percent)}`" if isinstance(value, float) else f"`{value}`"


def _line(text: str) -> str:
    """Return a docstring's text on one line, safe for markdown."""
    return " ".join(text.split()).replace("<", "&lt;")
