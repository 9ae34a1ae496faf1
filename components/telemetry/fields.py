"""What the entries of the catalogue's YAML files are made of: closed, strict, and with words for what is allowed.

What is wrong with a file is told one line per mistake: place, value, what is allowed, what to do.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, GetJsonSchemaHandler, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, ErrorDetails, PydanticCustomError

NOT_ALLOWED = "not_allowed"
"""Error type whose message is what is allowed."""


class Row(BaseModel):
    """One entry: read once, closed to unknown keys, no silent conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def not_allowed(allowed: str) -> PydanticCustomError:
    """The error for a value that is not allowed; ``allowed`` completes 'allowed is ...'."""
    return PydanticCustomError(NOT_ALLOWED, "{allowed}", {"allowed": allowed})


@dataclass(frozen=True)
class Pattern(AfterValidator):
    """A check against a regular expression, which the JSON schema has too."""

    expression: str
    allowed: str

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The schema for editors."""
        return {**handler(core), "pattern": f"^(?:{self.expression})$", "description": f"Allowed is {self.allowed}."}


def pattern(expression: str, allowed: str) -> Pattern:
    """A text that matches an expression as a whole; ``allowed`` completes 'allowed is ...'."""
    compiled = re.compile(expression)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise not_allowed(allowed)
        return value

    return Pattern(check, expression, allowed)


def _one_line(value: str) -> str:
    if not value.strip() or "\n" in value:
        raise not_allowed("one line of text")
    return value


Name = Annotated[str, pattern(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", "lower-case words joined by dashes")]
MetricName = Annotated[str, pattern(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+", "lower-case words joined by dots")]
AttributeName = Annotated[str, pattern(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*", "lower-case words joined by dots")]
Line = Annotated[str, AfterValidator(_one_line)]


_LONGEST_VALUE = 60
_PAGE = "docs/operations/thresholds.md"
_KINDS = {
    "string_type": "a text (in quotes, where YAML would read something else)",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a group of keys",
    "model_type": "a group of keys",
    "model_attributes_type": "a group of keys",
}


def validation_errors(
    error: ValidationError, model: type[BaseModel], content: object, page: str = _PAGE
) -> Iterator[str]:
    """One line per mistake.

    Args:
        error: What pydantic found.
        model: The model that was read.
        content: What was read; values and names of entries come from it.
        page: Where the keys are explained.
    """
    details = error.errors(include_url=False)
    for detail in details:
        if detail["type"] == "too_short" and any(_inside(other, detail) for other in details):
            continue  # Only because an entry of it is refused.
        yield _line(detail, model, content, page)


def _inside(detail: ErrorDetails, outer: ErrorDetails) -> bool:
    length = len(outer["loc"])
    return len(detail["loc"]) > length and detail["loc"][:length] == outer["loc"]


def _line(detail: ErrorDetails, model: type[BaseModel], content: object, page: str) -> str:
    place, kind, context = _place(detail["loc"], content), detail["type"], detail.get("ctx", {})
    if kind == "missing":
        return f"{place} is missing: add it (other entries and {page} show every key)"
    if kind == "extra_forbidden":
        return f"{place} is not a known key: {_instead(detail['loc'], model)}"
    if detail["loc"][-1:] == ("[key]",):
        return f"{place}: allowed as a key is {context.get('allowed')}; correct it"
    value = _at(detail["loc"], content)
    shown = "" if isinstance(value, Mapping | list) else f" is {_short(value)}"
    allowed = _KINDS.get(kind) or {
        NOT_ALLOWED: str(context.get("allowed")),
        "enum": f"one of {context.get('expected')}",
        "literal_error": f"one of {context.get('expected')}",
        "greater_than_equal": f"a number of at least {context.get('ge')}",
        "string_too_short": "a text that is not empty",
        "string_pattern_mismatch": "growth per minute such as '+60', or a constant value such as '0.2'",
        "too_short": f"at least {context.get('min_length')} of them",
    }.get(kind, detail["msg"])
    return f"{place}{shown}: allowed is {allowed}; correct it"


def _place(location: tuple[int | str, ...], content: Any) -> str:
    """``("thresholds", 0, "limit")`` as ``thresholds[battery].limit``."""
    text = ""
    for part in location:
        content = _at((part,), content)
        if isinstance(part, int):
            name = content.get("name", content.get("id", part)) if isinstance(content, Mapping) else part
            text += f"[{name}]"
        elif part != "[key]":
            text += f".{part}" if text else part
    return text or "the file"


def _at(location: tuple[int | str, ...], content: Any) -> Any:
    for part in location:
        try:
            content = content[part]
        except (KeyError, IndexError, TypeError):
            return None
    return content


def _short(value: object) -> str:
    names = {"None": "null", "True": "true", "False": "false"}
    text = names.get(repr(value), repr(value))
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 3] + "..."


def _instead(location: tuple[int | str, ...], model: type[BaseModel]) -> str:
    for part in location[:-1]:
        if isinstance(part, str) and part in model.model_fields:
            model = _inner(model.model_fields[part].annotation) or model
    known = sorted(model.model_fields)
    near = difflib.get_close_matches(str(location[-1]), known, n=1)
    if near:
        return f"did you mean {near[0]}? Known here: {', '.join(known)}"
    return f"remove it; known here: {', '.join(known)}"


def _inner(annotation: Any) -> type[BaseModel] | None:
    """The model inside ``Model``, ``tuple[Model, ...]`` or ``Model | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((inner for arg in get_args(annotation) if (inner := _inner(arg)) is not None), None)


PLATFORM = "platform"
"""Stands in the label ``layer`` for what is about this platform and not about one of the five layers."""

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d+)([smhd])")
_WORDS = {"en": {3600: "h", 60: "min", 1: "s"}, "ja": {3600: "時間", 60: "分", 1: "秒"}}


AlertName = Annotated[str, pattern(r"([A-Z][a-z0-9]*)+", "words like DeviceBatteryLow, each with a capital letter")]
LabelName = Annotated[str, pattern(r"[a-z][a-z0-9_]*", "a label of Prometheus: lower-case letters, digits, _")]
Duration = Annotated[str, pattern(r"\d+[smhd]", "a duration such as 30s, 5m, 1h or 3d")]
Runbook = Annotated[str, pattern(r"docs/runbooks/[A-Za-z]+\.md", "a page such as docs/runbooks/DeviceBatteryLow.md")]


def seconds(duration: str) -> int:
    """Seconds of a `Duration`.

    Raises:
        ValueError: It is none.
    """
    match = _DURATION.fullmatch(duration)
    if match is None:
        raise ValueError(f"duration {duration!r}: allowed is one such as 30s, 5m, 1h or 3d")
    return int(match[1]) * _SECONDS[match[2]]


def spoken(value: float, unit: str, language: str) -> str:
    """A limit as people read it, for example ``80 %``, ``5 min`` or ``100``.

    Args:
        value: The limit.
        unit: Its UCUM unit; annotations in braces are not spoken.
        language: ``en`` or ``ja``.
    """
    if unit == "1":
        return f"{value * 100:.10g} %"
    if unit == "s":
        sizes = _WORDS[language]
        size = next((size for size in sizes if value >= size and value % size == 0), 1)
        return f"{value / size:.10g} {sizes[size]}"
    return f"{value:.10g}" if "{" in unit else f"{value:.10g} {unit}"
