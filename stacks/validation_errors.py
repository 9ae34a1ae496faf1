"""Turns pydantic's errors into one line each: key, value, what is allowed, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from stacks.field_types import NOT_ALLOWED

_LONGEST_VALUE = 60
_KINDS = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a group of keys",
    "model_type": "a group of keys",
    "model_attributes_type": "a group of keys",
}


def validation_errors(error: ValidationError, model: type[BaseModel], content: object) -> Iterator[str]:
    """One line per mistake, in the order of the file's model.

    Args:
        error: What pydantic found.
        model: The model that was read.
        content: What was read; named values come from it.
    """
    details = error.errors(include_url=False)
    for detail in details:
        if detail["type"] == "too_short" and any(_inside(other, detail) for other in details):
            continue  # Only because an element of it is refused.
        yield _line(detail, model, content)


def _inside(detail: ErrorDetails, outer: ErrorDetails) -> bool:
    """Whether one mistake is inside the value that another is about."""
    length = len(outer["loc"])
    return len(detail["loc"]) > length and detail["loc"][:length] == outer["loc"]


def _line(detail: ErrorDetails, model: type[BaseModel], content: object) -> str:
    """The line about one mistake."""
    path = _path(detail["loc"])
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "missing":
        return f"{path} is missing: add it (see the same key in Pulumi.prod.yaml)"
    if kind == "extra_forbidden":
        return f"{path} is not a known key: {_instead(detail['loc'], model)}"
    value = _at(detail["loc"], content)
    shown = "" if isinstance(value, Mapping | list) else f" is {_short(value)}"
    allowed = _KINDS.get(kind) or {
        NOT_ALLOWED: str(context.get("allowed")),
        "literal_error": f"one of {context.get('expected')}",
        "greater_than_equal": f"a number of at least {context.get('ge')}",
        "too_short": f"a list of at least {context.get('min_length')}",
    }.get(kind, detail["msg"])
    return f"{path}{shown}: allowed is {allowed}; correct it"


def _path(location: tuple[int | str, ...]) -> str:
    """``("kafka", "brokers", 0, "host")`` as ``settings.kafka.brokers[0].host``."""
    text = "settings"
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text


def _at(location: tuple[int | str, ...], content: Any) -> Any:
    """The value at a location."""
    for part in location:
        try:
            content = content[part]
        except (KeyError, IndexError, TypeError):
            return None
    return content


def _short(value: object) -> str:
    """A value in a line: not too long."""
    names = {"None": "null", "True": "true", "False": "false"}
    text = names.get(repr(value), repr(value))
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 3] + "..."


def _instead(location: tuple[int | str, ...], model: type[BaseModel]) -> str:
    """What could have been meant."""
    known = sorted(_fields(location[:-1], model))
    near = difflib.get_close_matches(str(location[-1]), known, n=1)
    if near:
        return f"did you mean {near[0]}? Known here: {', '.join(known)}"
    return f"remove it; known here: {', '.join(known)}"


def _fields(location: tuple[int | str, ...], model: type[BaseModel]) -> list[str]:
    """Keys of the model at a location."""
    for part in location:
        if isinstance(part, str) and part in model.model_fields:
            inner = _nested_model(model.model_fields[part].annotation)
            model = inner or model
    return list(model.model_fields)


def _nested_model(annotation: Any) -> type[BaseModel] | None:
    """The model inside ``SettingsModel``, ``tuple[SettingsModel, ...]`` or ``dict[str, SettingsModel]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        nested_model = _nested_model(argument)
        if nested_model is not None:
            return nested_model
    return None
