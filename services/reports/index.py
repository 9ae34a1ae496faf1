"""The index of all stored reports: pages made anew from the listing, newest reports first."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import tzinfo

from services.reports.render import environment
from services.reports.store import HTML_TYPE, Store, Stored, stored
from services.reports.text import Language

PER_PAGE = 60
_PAGE = re.compile(r"index(?:-(\d+))?\.html")


def page_name(number: int) -> str:
    """Name of a page, counted from 1."""
    return "index.html" if number == 1 else f"index-{number}.html"


def pages(reports: Sequence[Stored], languages: Sequence[Language], zone: tzinfo, platform: str) -> list[str]:
    """The pages as HTML; one at least.

    Args:
        reports: Newest first.
        languages: Languages of the page: each word in all of them.
        zone: Time zone of the times.
        platform: Name of the platform.
    """
    count = max(1, math.ceil(len(reports) / PER_PAGE))
    template = environment(languages[0]).get_template("index.html.j2")
    return [
        template.render(
            reports=reports[(number - 1) * PER_PAGE : number * PER_PAGE],
            language=languages[0],
            number=number,
            count=count,
            zone=zone,
            platform=platform,
            page_name=page_name,
        )
        for number in range(1, count + 1)
    ]


def rewrite(store: Store, languages: Sequence[Language], zone: tzinfo, platform: str) -> int:
    """Make the index anew from what is stored; returns the number of reports in it.

    Raises:
        ReportError: The storage refuses, or does not answer.
    """
    names = store.names()
    stored_reports = stored(names)
    page_texts = pages(stored_reports, languages, zone, platform)
    for number, text in enumerate(page_texts, start=1):
        store.put(page_name(number), text.encode(), HTML_TYPE)
    for name, _ in names:
        old = _PAGE.fullmatch(name)
        if old and int(old[1] or 1) > len(page_texts):
            store.delete(name)
    return len(stored_reports)
