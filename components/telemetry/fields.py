"""What the entries of the catalogue's YAML files are made of: closed, strict, and with words for what is allowed."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

NOT_ALLOWED = "not_allowed"
"""Error type whose message is what is allowed."""


class Row(BaseModel):
    """One entry: read once, closed to unknown keys, no silent conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def not_allowed(allowed: str) -> PydanticCustomError:
    """The error for a value that is not allowed; ``allowed`` completes 'allowed is ...'."""
    return PydanticCustomError(NOT_ALLOWED, "{allowed}", {"allowed": allowed})


def pattern(expression: str, allowed: str) -> AfterValidator:
    """A text that matches an expression as a whole; ``allowed`` completes 'allowed is ...'."""
    compiled = re.compile(expression)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise not_allowed(allowed)
        return value

    return AfterValidator(check)


def _one_line(value: str) -> str:
    if not value.strip() or "\n" in value:
        raise not_allowed("one line of text")
    return value


Name = Annotated[str, pattern(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", "lower-case words joined by dashes")]
MetricName = Annotated[str, pattern(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+", "lower-case words joined by dots")]
AttributeName = Annotated[str, pattern(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*", "lower-case words joined by dots")]
Line = Annotated[str, AfterValidator(_one_line)]
