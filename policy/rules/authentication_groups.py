"""Whoever reads a topic does so as a group that it may be a member of, and no member reads nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from policy.model import Finding, Option, Options, Resource, Rule


def _groups(resources: Sequence[Resource], options: Options) -> Iterator[Finding]:
    readers: dict[str, Resource] = {}
    members: dict[str, Resource] = {}
    for resource in resources:
        if resource.kind != "Acl" or resource.node["aclOperation"].text() != "Read":
            continue
        user = resource.node["aclPrincipal"].text()
        if resource.node["aclResourceType"].text() == "Topic":
            readers.setdefault(user, resource)
        elif resource.node["aclResourceType"].text() == "Group":
            members.setdefault(user, resource)
    for user, resource in readers.items():
        if user not in members and user.removeprefix("User:") not in options["groupless"]:
            yield Finding(
                resource=resource,
                where="aclPrincipal",
                problem=f"{user} may read a topic, and no consumer group",
                fix=f"let {user} read the group that it is a member of",
            )
    for user, resource in members.items():
        if user not in readers:
            yield Finding(
                resource=resource,
                where="aclPrincipal",
                problem=f"{user} may be a member of a consumer group, and reads no topic",
                fix=f"let {user} read its topic, or remove the rule",
            )


RULES: tuple[Rule, ...] = (
    Rule(
        id="kafka-readers-have-groups",
        promise="Whoever may read a topic may read a consumer group, and the other way round.",
        why="A consumer without its group reads nothing, and what it was to read ages in the topic.",
        sources=("K5", "O5"),
        options={
            "groupless": Option(
                default=["mirror", "mirror-maker"],
                schema={"type": "array", "items": {"type": "string"}},
                meaning="users that read without a group",
            )
        },
        stack=_groups,
    ),
)
