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


def indices(**shards: int) -> Answer:
    return Answer(200, {name: {"settings": {"index": {"number_of_shards": str(n)}}} for name, n in shards.items()})


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


def searches(paths: Sequence[str]) -> list[str]:
    """Index and shard of each reading that began."""
    begun = "/_search?scroll=1m&preference=_shards:"
    return [path.removeprefix("POST /").replace(begun, " ") for path in paths if begun in path]


def test_every_shard_of_every_index_is_read_to_its_end() -> None:
    paths: list[str] = []
    answers = [indices(old=2, new=1), page("a"), page("b"), page(), ENDED, page(), ENDED, page("c"), page(), ENDED]
    hits = client(answers, paths).hits({"match_all": {}})
    assert [hit["name"] for hit in hits] == ["a", "b", "c"]
    assert paths[0] == "GET /logs-read"
    assert searches(paths) == ["old 0", "old 1", "new 0"]


@pytest.mark.parametrize("refused", [FULL, page("c", failed=1, successful=1), page("c", successful=1)])
def test_a_shard_that_was_refused_in_between_is_read_anew_and_no_other_one(refused: Answer, waits: list[float]) -> None:
    paths: list[str] = []
    answers = [indices(one=2), page("a"), page(), ENDED]
    answers += [page("b"), refused, page("b"), page("c"), page(), ENDED]
    hits = client(answers, paths).hits({"match_all": {}})
    assert [hit["name"] for hit in hits] == ["a", "b", "c"]
    assert searches(paths) == ["one 0", "one 1", "one 1"]
    assert waits == [20.0]


def test_what_cannot_be_read_whole_is_an_error(waits: list[float]) -> None:
    with pytest.raises(OpsError, match="search answered 429"):
        client([indices(one=1), *[page("a"), FULL] * 8], []).hits({"match_all": {}})
    assert waits == [20.0] * 7
