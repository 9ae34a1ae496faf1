"""Turns pydantic's errors into one line each: key, value, what is allowed, what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from services.runtime.settings import causes, instead, shown, value_at
from stacks.field_types import NOT_ALLOWED

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
    for detail in causes(error):
        yield _line(detail, model, content)


def _line(detail: ErrorDetails, model: type[BaseModel], content: object) -> str:
    """The line about one mistake."""
    path = _path(detail["loc"])
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "missing":
        return f"{path} is missing: add it (see the same key in Pulumi.prod.yaml)"
    if kind == "extra_forbidden":
        return f"{path} is not a known key: {instead(detail['loc'], model)}"
    value = value_at(detail["loc"], content)
    value_shown = "" if isinstance(value, Mapping | list) else f" is {shown(value)}"
    allowed = _KINDS.get(kind) or {
        NOT_ALLOWED: str(context.get("allowed")),
        "literal_error": f"one of {context.get('expected')}",
        "greater_than_equal": f"a number of at least {context.get('ge')}",
        "too_short": f"a list of at least {context.get('min_length')}",
    }.get(kind, detail["msg"])
    return f"{path}{value_shown}: allowed is {allowed}; correct it"


def _path(location: tuple[int | str, ...]) -> str:
    """``("kafka", "brokers", 0, "host")`` as ``settings.kafka.brokers[0].host``."""
    text = "settings"
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text
