"""The rule about readers and their groups."""

from __future__ import annotations

from policy.model import Resource
from policy.runner import Runner
from tests.policy.fixtures_servers import rule

RULES = [rule("kafka-readers-have-groups")]


def acl(user: str, kind: str, operation: str = "Read") -> Resource:
    """A permission."""
    props = {"aclPrincipal": f"User:{user}", "aclOperation": operation, "aclResourceType": kind}
    return Resource("kafka:index/acl:Acl", f"{user}-{kind}", props)


def test_readers_with_groups_writers_and_mirrors_pass() -> None:
    stack = [acl("a", "Topic"), acl("a", "Group"), acl("b", "Topic", "Write"), acl("mirror-maker", "Topic")]
    assert Runner(rules=RULES, agreed=[]).all(stack) == []


def test_a_reader_without_a_group_is_stopped() -> None:
    [verdict] = Runner(rules=RULES, agreed=[]).all([acl("a", "Topic")])
    assert verdict.stops
    assert verdict.message == (
        "Acl a-Topic, aclPrincipal: User:a may read a topic, and no consumer group. A consumer without its group reads "
        "nothing, and what it was to read ages in the topic. Fix: let User:a read the group that it is a member of."
    )


def test_a_member_of_a_group_that_reads_no_topic_is_stopped() -> None:
    [verdict] = Runner(rules=RULES, agreed=[]).all([acl("a", "Group"), acl("a", "Topic", "Write")])
    assert verdict.stops
    assert "User:a may be a member of a consumer group, and reads no topic" in verdict.message
