"""The identity provider as a part of the lab: its files, its process, what the stack gets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import yaml

from lab import LabError
from lab.fakes.identity import setup
from lab.paths import CHECKOUT, LabPaths
from tests.unit.lab.external_services_harness import loopback_lab, started


@pytest.fixture
def paths() -> Iterator[LabPaths]:
    with loopback_lab(setup) as (lab, _):
        setup.prepare(lab)
        yield lab


def test_a_person_of_the_lab_can_ask_for_a_form_and_the_tool_gets_a_token(paths: LabPaths) -> None:
    with started(setup.daemon(paths)), requests.Session() as session:
        setup.wait_ready(paths)
        session.trust_env = False
        session.verify = str(setup.authority(paths))
        offered = session.get(f"{setup.URL}/.well-known/openid-configuration", timeout=60).json()
        assert offered["issuer"] == setup.URL
        given = setup.identity_secrets(paths)
        assert given["authority"] == Path(session.verify).read_text()
        answer = session.post(
            offered["token_endpoint"],
            data={"grant_type": "client_credentials"},
            auth=(setup.TOOL, given["tool_secret"]),
            timeout=60,
        )
        assert answer.status_code == 200, answer.text


def test_people_have_passwords_and_the_file_has_only_their_hashes(paths: LabPaths) -> None:
    people = setup.people(paths)
    assert set(people) == set(setup.PEOPLE)
    text = (setup.folder(paths) / "config.json").read_text()
    assert not [name for name, password in people.items() if password in text]
    assert len(re.findall(r"\$2b\$10\$", text)) == len(people)
    assert (setup.folder(paths) / "config.json").stat().st_mode & 0o077 == 0


def test_what_is_made_stays_until_something_else_is_wanted(paths: LabPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    config = setup.folder(paths) / "config.json"
    before, known = config.read_bytes(), setup.identity_secrets(paths)
    setup.prepare(paths)
    assert config.read_bytes() == before
    monkeypatch.setattr(setup, "PEOPLE", {**setup.PEOPLE, "visitor": ("traces-internal",)})
    setup.prepare(paths)
    assert json.loads(config.read_text())["users"][0]["groups"] == ["traces-internal"]
    assert setup.identity_secrets(paths) == known


def test_people_come_back_to_the_logins_of_both_stacks() -> None:
    stacks = [
        yaml.safe_load((CHECKOUT / name).read_text())["config"]
        for name in ("Pulumi.local.yaml", "Pulumi.local-dr.yaml")
    ]
    settings = [stack["observability:settings"] for stack in stacks]
    hosts = {
        page["host"] for own in settings for page in (*own["traces"]["queries"].values(), *own["sign_in"].values())
    }
    assert len(hosts) == 10
    assert set(setup.redirects()) == {f"https://{host}:4180/oauth2/callback" for host in hosts}
    for stack in stacks:
        identity = stack["observability:settings"]["traces"]["identity"]
        assert (identity["issuer"], identity["client_id"], identity["tool_client_id"]) == (
            setup.URL,
            setup.CLIENT,
            setup.TOOL,
        )


def test_without_a_lab_it_says_how_to_make_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OBS_STATE", str(tmp_path))
    with pytest.raises(LabError, match=r"secrets of the identity provider: .* run `make up`"):
        setup.people(LabPaths("x"))
