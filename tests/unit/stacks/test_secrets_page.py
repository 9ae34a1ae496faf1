"""docs/secrets.md has every secret of a stack, and says of each what it opens and how it is changed."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

import pytest

from stacks import secrets
from tests.support import engine, secret_tables

PAGE = secret_tables.PAGE.read_text(encoding="utf-8")
_CODE = re.compile(r"`([^`]+)`")
_ELSEWHERE = {f"{secrets.DATABASE_KEY}.password", f"{secrets.OIDC_KEY}.client_secret"}
"""Given secrets that no committed stack file needs."""


def opened_by() -> list[tuple[str, ...]]:
    """The names of each row of the table that says what a secret opens."""
    section = PAGE.partition("## What each opens")[2].partition("Two more")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [tuple(_CODE.findall(line.split(" | ")[0])) for line in lines]


def test_the_tables_are_what_the_stacks_render() -> None:
    assert secret_tables.text() == PAGE, "run `make docs` and commit docs/secrets.md"


@pytest.mark.parametrize("stack", secret_tables.STACKS)
def test_every_secret_of_a_stack_is_on_the_page(stack: str) -> None:
    recording = engine.recorded(stack)
    names = {manifest["metadata"]["name"] for manifest in recording.kinds("Secret")}
    for manifest in recording.kinds("Certificate"):
        secret = manifest["spec"]["secretName"]
        names.add(secret if f"`{secret}`" in PAGE else secret.removesuffix("-tls"))
    assert sorted(name for name in names if f"`{name}`" not in PAGE) == []


@pytest.mark.parametrize("stack", secret_tables.STACKS)
def test_pods_have_secrets_by_volumes_alone(stack: str) -> None:
    for workload, spec in secret_tables.pods(engine.recorded(stack)):
        keys = set(engine.texts(spec))
        assert not keys & {"secretKeyRef", "secretRef"}, workload


@pytest.mark.parametrize("stack", secret_tables.STACKS)
def test_every_password_is_in_one_row_of_what_it_opens(stack: str) -> None:
    rows = opened_by()
    exact = {name for names in rows for name in names}
    for password in secret_tables.passwords(engine.recorded(stack)):
        if password in exact:
            continue
        fitting = [names for names in rows if any(fnmatchcase(password, name) for name in names)]
        assert len(fitting) == 1, f"{password}: {fitting}"


def test_every_row_of_what_it_opens_is_about_a_password() -> None:
    known = {name for stack in secret_tables.STACKS for name in secret_tables.passwords(engine.recorded(stack))}
    known |= _ELSEWHERE
    named = [name for names in opened_by() for name in names]
    assert [name for name in named if not any(fnmatchcase(password, name) for password in known)] == []


def test_every_key_that_is_given_is_on_the_page() -> None:
    keys = {secrets.SECRETS_KEY, secrets.DIRECTORY_KEY, secrets.IDENTITY_KEY, secrets.STORAGE_KEY, secrets.WITNESS_KEY}
    keys |= {secrets.CLUSTER_AUDIT_KEY, secrets.ROLES_KEY, secrets.DATABASE_KEY, secrets.OIDC_KEY}
    assert sorted(key for key in keys | {secrets.RECIPIENTS_KEY} if f"`{key}`" not in PAGE) == []
