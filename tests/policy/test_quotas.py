"""Quotas of Kafka's users: one for each, and none of all of a broker."""

from __future__ import annotations

import pytest

from policy.model import UNKNOWN, Resource, UnknownValueError
from tests.policy.data_dataplane import NODE
from tests.policy.fixtures_dataplane import acl, config_map, platform, quota, said, user, without

RULE = "kafka-users-have-quotas"


def test_a_platform_whose_users_have_quotas_is_passed() -> None:
    assert said(RULE, platform()) == []


def test_a_user_without_quota_is_noticed() -> None:
    says = [
        "UserScramCredential idle, username: the user idle has no quota, so it can take all of a broker"
        " | make a quota of entityType user and entityName idle"
    ]
    bare = [*platform(), user("idle"), acl("idle")]
    assert said(RULE, bare) == says
    # A client may call itself what it wants: a quota of that name binds nobody.
    assert said(RULE, [*bare, quota("idle", entityType="client-id")]) == says
    assert said(RULE, [*bare, quota("idle")]) == []


def test_a_quota_for_nobody_is_noticed() -> None:
    assert said(RULE, [*platform(), quota("ghost")]) == [
        "Quota ghost, entityName: there is no user ghost | name a user, or remove it"
    ]


def test_two_quotas_of_one_user_are_noticed() -> None:
    again = quota("door")
    assert said(RULE, [*platform(), Resource(again.type, "again", again.props)]) == [
        "Quota door, entityName: the user door has 2 quotas | leave one",
        "Quota again, entityName: the user door has 2 quotas | leave one",
    ]


@pytest.mark.parametrize(
    ("threads", "most"),
    [({}, 1100), ({"num.network.threads": "2", "num.io.threads": "4"}, 600)],
    ids=["threads that a broker has by itself", "threads that it is told"],
)
def test_a_quota_of_all_threads_is_noticed(threads: dict[str, str], most: int) -> None:
    nodes = config_map({"server.properties": {**NODE, **threads}}, name="kafka")
    stack = [nodes, *without(without(platform(), "kafka"), "door", kind="Quota")]
    less = quota("door", config={"request_percentage": str(most - 1)})
    assert said(RULE, [*stack, less]) == []
    assert said(RULE, [*stack, quota("door", config={"request_percentage": str(most)})]) == [
        f"Quota door, config.request_percentage: door may take the time of all {most // 100} threads of a broker: "
        f"request_percentage is {most} | set it below {most}"
    ]


def test_a_name_that_is_not_known_yet_is_no_proof() -> None:
    with pytest.raises(UnknownValueError):
        said(RULE, [*platform(), quota("later", entityName=UNKNOWN)])
