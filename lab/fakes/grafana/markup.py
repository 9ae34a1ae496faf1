"""Pages of HTML: everything that is put into one is escaped, and a browser may load nothing and run nothing."""

from __future__ import annotations

from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lab.fakes.grafana.exchange import Answer

TEMPLATES: Final = Path(__file__).parent / "templates"
_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def page(template: str, status: int = HTTPStatus.OK, **values: object) -> Answer:
    """A page of a template of the fake."""
    return answer(_templates().get_template(template).render(values), status)


def answer(text: str, status: int = HTTPStatus.OK) -> Answer:
    """An answer in HTML. Styles are in the page itself, since drawings carry theirs; there is no script."""
    headers = (
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Security-Policy", _POLICY),
        # With `no-referrer` a browser sends its forms with the origin "null", which no check of the origin lets pass.
        ("Referrer-Policy", "same-origin"),
    )
    return Answer(status=status, body=text.encode("utf-8", "replace"), headers=headers)


@cache
def _templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
