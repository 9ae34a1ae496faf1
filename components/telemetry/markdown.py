"""Tables for the generated documents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]], *, last: bool = False) -> Iterator[str]:
    """Lines of a Markdown table, and an empty one unless it is the document's last."""
    yield f"| {' | '.join(header)} |"
    yield f"|{'---|' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
    if not last:
        yield ""
