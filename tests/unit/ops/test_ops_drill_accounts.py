"""What procedures of drills share: the account of a load, conditions as sentences, a topic that does not stay."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ops.core.context import Context
from ops.drills.procedures.kafka import scratch_topic
from ops.drills.tools.accounts import Ledger, account, unmet
from ops.drills.tools.load import OtlpLoad


def load(*acknowledged: int, retries: int = 0) -> OtlpLoad:
    ledger = Ledger(acknowledged={(0, number): 1.0 for number in acknowledged}, retries=retries)
    return cast(OtlpLoad, SimpleNamespace(ledger=ledger))


@pytest.mark.parametrize(
    ("acknowledged", "missing", "problems"),
    [
        ((1, 2, 3), 0, []),
        ((1, 2, 3), 2, ["gateway: 2 of 3 acknowledged are missing"]),
        ((), 0, ["gateway: nothing was acknowledged"]),
    ],
)
def test_an_account_names_what_is_missing_and_a_load_that_never_arrived(
    acknowledged: tuple[int, ...], missing: int, problems: list[str]
) -> None:
    figures: dict[str, Any] = {}
    assert account(figures, "gateway", load(*acknowledged, retries=4), missing) == problems
    assert figures == {"gateway acknowledged": len(acknowledged), "gateway missing": missing, "gateway retries": 4}


def test_sentences_are_said_of_conditions_that_do_not_hold() -> None:
    assert unmet((True, "a"), (False, "b"), (1 > 2, "c")) == ["b", "c"]
    assert unmet() == []


class Future:
    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    def result(self, timeout: float) -> None:
        if self._error is not None:
            raise self._error


class Admin:
    """Kafka's client for administrators, with the topics that there are."""

    def __init__(self, refusal: Exception | None = None) -> None:
        self.names: set[str] = set()
        self._refusal = refusal

    def create_topics(self, topics: list[Any]) -> Mapping[str, Future]:
        self.names |= {topic.topic for topic in topics}
        return {topic.topic: Future() for topic in topics}

    def delete_topics(self, names: list[str]) -> Mapping[str, Future]:
        if self._refusal is None:
            self.names -= set(names)
        return {name: Future(self._refusal) for name in names}


def platform(admin: Admin) -> Context:
    return cast(Context, SimpleNamespace(kafka=SimpleNamespace(client=admin, topics=lambda: admin.names)))


@pytest.mark.parametrize("error", [None, KeyboardInterrupt, ValueError])
def test_a_scratch_topic_is_deleted_however_the_drill_ends(error: type[BaseException] | None) -> None:
    admin, seen = Admin(), set[str]()

    def drill() -> None:
        with scratch_topic(platform(admin)) as name:
            seen.update(admin.names & {name})
            if error is not None:
                raise error

    if error is None:
        drill()
    else:
        with pytest.raises(error):
            drill()
    assert len(seen) == 1
    assert admin.names == set()


def test_a_topic_that_cannot_be_deleted_does_not_hide_why_the_drill_broke_off() -> None:
    admin = Admin(RuntimeError("no broker"))
    with pytest.raises(ValueError, match="lost"), scratch_topic(platform(admin)):
        raise ValueError("lost 3")
    with pytest.raises(RuntimeError, match="no broker"), scratch_topic(platform(admin)):
        pass
