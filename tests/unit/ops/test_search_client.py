"""Reading of what is stored, while nodes of the search cluster refuse: all of it or an error."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from ops.core.errors import OpsError
from ops.drills.tools import search_client
from ops.drills.tools.search_client import SearchClient

WHOLE = {"total": 2, "successful": 2, "failed": 0}


class Answer:
    """An answer over HTTP."""

    def __init__(self, status: int, content: Any) -> None:
        self.status_code, self.text = status, json.dumps(content)

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def json(self) -> Any:
        return json.loads(self.text)


def page(*names: str, **shards: int) -> Answer:
    hits = [{"_source": {"name": name}, "_id": name, "_index": "one"} for name in names]
    return Answer(200, {"_scroll_id": "s", "_shards": WHOLE | shards, "hits": {"hits": hits}})


FULL = Answer(429, {"error": {"type": "circuit_breaking_exception"}})
ENDED = Answer(200, {})


def client(answers: Sequence[Answer], paths: list[str]) -> SearchClient:
    left: Iterator[Answer] = iter(answers)

    def call(method: str, url: str, **_: Any) -> Answer:
        paths.append(f"{method} {url}")
        return next(left)

    context: Any = SimpleNamespace(
        kube=SimpleNamespace(pods=lambda _: [SimpleNamespace(ready=True, name="search-0")]),
        tunnels=SimpleNamespace(url=lambda *_: ""),
        web=SimpleNamespace(call=call),
    )
    return SearchClient(context, ("reader", "word"), "logs-read")


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    seconds: list[float] = []
    monkeypatch.setattr(search_client, "time", SimpleNamespace(sleep=seconds.append))
    return seconds


@pytest.mark.parametrize("refused", [FULL, page("b", failed=1, successful=1), page("b", successful=1)])
def test_a_reading_that_was_refused_in_between_begins_anew(refused: Answer, waits: list[float]) -> None:
    paths: list[str] = []
    answers = [page("a"), refused, page("a"), page("b"), page(), ENDED]
    hits = client(answers, paths).hits({"match_all": {}})
    assert [hit["name"] for hit in hits] == ["a", "b"]
    assert [path for path in paths if "_search?scroll" in path] == ["POST /logs-read/_search?scroll=1m"] * 2
    assert waits == [20.0]


def test_what_cannot_be_read_whole_is_an_error(waits: list[float]) -> None:
    with pytest.raises(OpsError, match="search answered 429"):
        client([page("a"), FULL] * 8, []).hits({"match_all": {}})
    assert waits == [20.0] * 7
