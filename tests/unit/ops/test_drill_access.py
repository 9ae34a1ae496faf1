"""The drill of the access matrix: how tries are counted, who tries what, and that no job holds up the others."""

from __future__ import annotations

import time
from typing import Any

import pytest

from components.search.access import elasticsearch_files, log_reader, security_files, trace_reader
from ops.core.errors import OpsError
from ops.drills import access_tries
from ops.drills.access_tries import Answer, Try, account
from ops.drills.procedures.access import run_jobs
from ops.permissions.matrix import search_users
from ops.permissions.model import KubernetesRule, Passwords, SearchUser, ServiceAccount
from policy.model import Resource
from tests.support.access import matrix_of


def attempt(allowed: bool, answer: Answer, login: str = "one") -> Try:
    return Try(part="Kafka", login=login, what="read", allowed=allowed, answer=answer, said="")


GOOD = (attempt(False, Answer.REFUSED), attempt(True, Answer.LET_IN))


def counted(*tries: Try, logins: tuple[str, ...] = ("one",)) -> tuple[dict[str, Any], list[str]]:
    figures: dict[str, Any] = {}
    return figures, account(tries, figures, {"Kafka": logins})


def test_refused_outside_and_let_in_inside_is_no_problem() -> None:
    figures, problems = counted(*GOOD)
    assert problems == []
    assert figures == {
        "tries outside": 1,
        "let through": 0,
        "tries inside": 1,
        "inside refused": 0,
        "unclear answers": 0,
        "logins without a control": 0,
        "logins": 1,
        "tries outside by part": {"Kafka": 1},
    }


@pytest.mark.parametrize(
    ("more", "figure", "problem"),
    [
        (attempt(False, Answer.LET_IN), "let through", "1 tries outside of the matrix were let through: Kafka: one"),
        (attempt(True, Answer.REFUSED), "inside refused", "1 tries inside of the matrix were refused: Kafka: one"),
        (attempt(False, Answer.UNCLEAR), "unclear answers", "1 tries were answered neither way: Kafka: one"),
    ],
)
def test_each_wrong_answer_is_counted_and_told(more: Try, figure: str, problem: str) -> None:
    figures, problems = counted(*GOOD, more)
    assert figures[figure] == 1
    assert [sentence.startswith(problem) for sentence in problems] == [True]


def test_a_login_that_is_let_in_nowhere_is_no_proof() -> None:
    figures, problems = counted(*GOOD, attempt(False, Answer.REFUSED, "broken"), logins=("one", "broken"))
    assert figures["logins without a control"] == 1
    assert problems == ["nothing that is allowed was tried with Kafka: broken"]


def test_nothing_tried_is_a_problem() -> None:
    assert "nothing outside of the matrix was tried" in counted()[1]


def test_a_job_that_fails_or_has_no_turn_is_told_and_the_others_count() -> None:
    def fails() -> list[Try]:
        raise OpsError("no pod is ready")

    tries, problems = run_jobs({"good": lambda: GOOD, "bad": fails}, time.monotonic() + 60)
    assert (tries, problems) == (list(GOOD), ["bad: no pod is ready"])
    tries, problems = run_jobs({"good": lambda: GOOD}, time.monotonic())
    assert (tries, problems) == ([], ["there was no time for 1 of 1: good"])


def test_a_user_of_two_servers_with_two_passwords_is_two_logins() -> None:
    servers = [server for server in matrix_of("prod").http if server.label.startswith(("prometheus-", "thanos-query"))]
    readers = [user.verifier for server in servers for user in server.users if user.name == "reader"]
    assert len(readers) == 3
    passwords = Passwords({verifier: f"password {number}" for number, verifier in enumerate(readers)})
    known, unknown = access_tries.logins(servers, passwords)
    assert [(login.name, login.password, sorted(login.servers)) for login in known] == [
        ("reader of prometheus-primary:9090/", "password 0", ["prometheus-primary:9090/"]),
        ("reader of prometheus-secondary:9090/", "password 1", ["prometheus-secondary:9090/"]),
        ("reader of thanos-query:9090/", "password 2", ["thanos-query:9090/"]),
    ]
    assert "writer of prometheus-primary:9090/" in unknown
    assert "password" not in repr(known)


def test_every_service_account_is_asked_for_what_could_do_harm_and_for_its_own_rights() -> None:
    rule = KubernetesRule(verbs=("watch", "get"), resources=("pods",), namespace="obs")
    named = KubernetesRule(verbs=("get",), resources=("secrets",), names=("one",), namespace="obs")
    subject = ServiceAccount(name="agent", rules=(rule, named))
    questions: list[tuple[str, str, str, str]] = []

    def review(*question: str) -> bool:
        questions.append((question[0], question[1], question[2], question[3]))
        return question[1:] in {("get", "", "pods"), ("watch", "", "pods")}

    tries = list(access_tries.kubernetes_tries(subject, review))
    assert len(tries) == len(access_tries.RESOURCES) * len(access_tries.VERBS) + 1
    assert [one.what for one in tries if one.allowed] == ["get pods", "watch pods"]
    assert [one.what for one in tries if one.allowed is not (one.answer is Answer.LET_IN)] == []
    assert ("agent", "get", "", "secrets") in questions


USERS = (log_reader("logs"), trace_reader("traces", "internal"))


@pytest.mark.parametrize("form", ["elasticsearch", "opensearch"])
def test_both_engines_forms_of_a_role_allow_the_same(form: str) -> None:
    hashes = {user.name: f"$2b$10$hash of {user.name}" for user in USERS}
    files: dict[str, Any] = (
        elasticsearch_files(USERS, hashes) if form == "elasticsearch" else security_files(USERS, hashes)
    )
    texts = {name: content if isinstance(content, str) else repr(content) for name, content in files.items()}
    users: dict[str, SearchUser] = {
        user.name: user
        for user in search_users([Resource("kubernetes:core/v1:Secret", "search", {"stringData": texts})])
    }
    assert users["logs"].verifier.endswith("$10$hash of logs")
    may = access_tries.may
    assert may(users["logs"], "read", "logs-000001")
    assert not may(users["logs"], "write", "logs-000001")
    assert not may(users["logs"], "read", "public-jaeger-span-000001")
    assert may(users["traces"], "read", "internal-jaeger-span-000001")
    assert not may(users["traces"], "read", "confidential-jaeger-span-000001")
    assert not may(users["traces"], "manage", "internal-jaeger-span-000001")


def test_every_family_and_database_of_the_platform_is_tried() -> None:
    subject = matrix_of("prod")
    kinds = [f"{name}-jaeger-{kind}" for name in ("public", "internal", "confidential") for kind in ("span", "service")]
    assert {"logs", *kinds} <= set(access_tries.families(subject))
    assert access_tries.databases(subject) == ["grafana", "postgres", "template1"]
