"""What readers of settings and documents make of pydantic's errors: which one counts, where it is, what was meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

_LONGEST_VALUE = 60


def causes(error: ValidationError) -> Iterator[ErrorDetails]:
    """The mistakes in the order of the model, without lists that are too short only since an element is refused."""
    details = error.errors(include_url=False)
    for detail in details:
        if detail["type"] != "too_short" or not any(_inside(other, detail) for other in details):
            yield detail


def value_at(location: tuple[int | str, ...], content: Any) -> Any:
    """The value at a location of what was read; None where there is none."""
    for part in location:
        try:
            content = content[part]
        except (KeyError, IndexError, TypeError):
            return None
    return content


def shown(value: object) -> str:
    """A value in a line: as YAML has it, and not too long."""
    names = {"None": "null", "True": "true", "False": "false"}
    text = names.get(repr(value), repr(value))
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 3] + "..."


def keys_at(location: tuple[int | str, ...], model: type[BaseModel]) -> list[str]:
    """Keys of the model at a location."""
    for part in location:
        if isinstance(part, str) and part in model.model_fields:
            model = _nested_model(model.model_fields[part].annotation) or model
    return list(model.model_fields)


def instead(location: tuple[int | str, ...], model: type[BaseModel]) -> str:
    """What could have been meant by an unknown key."""
    known = sorted(keys_at(location[:-1], model))
    near = difflib.get_close_matches(str(location[-1]), known, n=1)
    if near:
        return f"did you mean {near[0]}? Known here: {', '.join(known)}"
    return f"remove it; known here: {', '.join(known)}"


def _inside(detail: ErrorDetails, outer: ErrorDetails) -> bool:
    """Whether one mistake is inside the value that another is about."""
    length = len(outer["loc"])
    return len(detail["loc"]) > length and detail["loc"][:length] == outer["loc"]


def _nested_model(annotation: Any) -> type[BaseModel] | None:
    """The model inside ``Model``, ``Model | None``, ``tuple[Model, ...]`` or ``dict[str, Model]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for argument in get_args(annotation) if (model := _nested_model(argument)) is not None), None)
