"""Tries of the access drill in the real search cluster: refused outside of the roles, and nothing changes."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from components.search import access
from ops.drills import access_tries
from ops.drills.access_tries import Answer, Try
from ops.permissions.matrix import search_users
from ops.permissions.model import Matrix, SearchUser
from policy.model import Resource
from tests.config.index_manager_process import FAMILIES, USERS
from tests.config.search.documents import TRACE, readable_documents
from tests.config.search_process import SearchProcesses, hashes, password_of

pytestmark = pytest.mark.timeout(1200)


def users() -> dict[str, SearchUser]:
    """Users, from the very files that the cluster is initialised with."""
    files = {name: yaml.safe_dump(content) for name, content in access.security_files(USERS, hashes(USERS)).items()}
    secret = Resource("kubernetes:core/v1:Secret", "search-security", {"stringData": files})
    return {user.name: user for user in search_users([secret])}


def matrix(known_users: dict[str, SearchUser]) -> Matrix:
    names = (
        "kafka",
        "kafka_users",
        "kafka_super_users",
        "accounts",
        "database",
        "http",
        "edges",
        "outgoing",
        "storage",
    )
    nothing: dict[str, Any] = dict.fromkeys((*names, "gateway"), ())
    return Matrix(search=tuple(known_users.values()), **nothing)


def tries(cluster: SearchProcesses, user: SearchUser, names: list[str]) -> list[Try]:
    return list(access_tries.search_tries(cluster.nodes[0].url, str(cluster.ca), user, password_of(user.name), names))


def test_every_user_is_refused_what_its_role_does_not_give(spans: SearchProcesses) -> None:
    known_users = users()
    names = access_tries.families(matrix(known_users))
    assert names == sorted(family.name for family in FAMILIES)
    before = readable_documents(spans, "jaeger-query-confidential", "confidential-jaeger-span-read", {"match_all": {}})
    attempts = [attempt for user in known_users.values() for attempt in tries(spans, user, names)]
    wrong = [
        str(attempt)
        for attempt in attempts
        if attempt.answer is not (Answer.LET_IN if attempt.allowed else Answer.REFUSED)
    ]
    assert wrong == []
    assert len(attempts) == len(known_users) * (4 * len(names) + 4)
    assert {attempt.login for attempt in attempts if attempt.allowed} == set(known_users)
    after = readable_documents(spans, "jaeger-query-confidential", "confidential-jaeger-span-read", {"match_all": {}})
    assert len(before) == len(after) > 0
    assert {source["traceID"] for source in after} == {TRACE}


def test_a_right_that_the_matrix_does_not_have_is_told(spans: SearchProcesses) -> None:
    reader = SearchUser(name="jaeger-query-public", verifier="")
    through = [
        attempt.what for attempt in tries(spans, reader, ["public-jaeger-span"]) if attempt.answer is Answer.LET_IN
    ]
    assert through == ["read public-jaeger-span-000001"]
