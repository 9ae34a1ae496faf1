"""Random passwords and ids: the asked shape, secret where it matters, and drawn only once."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import bcrypt
import grpc
import pytest
from pulumi.runtime.proto import provider_pb2

from lab.pulumi_host.provider import UNKNOWN, Provider
from lab.pulumi_host.random_provider import RandomId, RandomPassword, draw_password
from tests.support.provider import Engine, engine_of

PASSWORD = "random:index/randomPassword:RandomPassword"
ID = "random:index/randomId:RandomId"


@pytest.fixture
def engine() -> Iterator[Engine]:
    with engine_of(Provider("0.0.0", [RandomPassword(), RandomId()], threading.Event())) as provider_engine:
        yield provider_engine


def test_a_password_has_the_length_and_no_special_characters() -> None:
    drawn = draw_password({"length": 500, "special": False})
    assert len(drawn) == 500
    assert drawn.isalnum()


def test_minima_of_each_class_are_kept() -> None:
    drawn = draw_password(
        {"length": 9, "minLower": 2, "minUpper": 2, "minNumeric": 3, "minSpecial": 2, "overrideSpecial": "_"}
    )
    assert sum(letter.isdigit() for letter in drawn) == 3
    assert drawn.count("_") == 2


def test_result_and_hash_are_secret_and_belong_together(engine: Engine) -> None:
    _, outputs, secrets = engine.create(PASSWORD, {"length": 32, "special": False})
    assert secrets == {"result", "bcryptHash"}
    assert bcrypt.checkpw(outputs["result"].encode(), outputs["bcryptHash"].encode())


def test_a_password_longer_than_bcrypt_reads_is_hashed_by_its_beginning(engine: Engine) -> None:
    _, outputs, _ = engine.create(PASSWORD, {"length": 100, "special": False})
    assert bcrypt.checkpw(outputs["result"][:72].encode(), outputs["bcryptHash"].encode())


def test_two_passwords_differ(engine: Engine) -> None:
    drawn = {engine.create(PASSWORD, {"length": 32})[1]["result"] for _ in range(3)}
    assert len(drawn) == 3


def test_refreshing_keeps_the_password_and_adds_no_inputs(engine: Engine) -> None:
    inputs = {"length": 32, "special": False}
    identity, outputs, _ = engine.create(PASSWORD, inputs)
    assert engine.read(PASSWORD, identity, outputs, inputs) == (identity, outputs, inputs)


def test_an_import_is_refused_since_the_value_is_nowhere_else(engine: Engine) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        engine.read(PASSWORD, "none", {}, {})
    assert "cannot be imported" in caught.value.details()


def test_any_changed_input_draws_a_new_password(engine: Engine) -> None:
    answer = engine.diff(PASSWORD, {"length": 32}, {"length": 32, "keepers": {"a": "b"}})
    assert list(answer.replaces) == ["keepers"]
    assert answer.changes == provider_pb2.DiffResponse.DIFF_SOME


@pytest.mark.parametrize(
    ("inputs", "property_name"),
    [
        ({"length": 0}, "length"),
        ({"length": 3, "minLower": 2, "minUpper": 2}, "length"),
        ({"length": 8, "lower": False, "upper": False, "numeric": False, "special": False}, "lower"),
        ({"length": 8, "special": False, "minSpecial": 1}, "minSpecial"),
        ({"length": 8, "number": True}, "number"),
    ],
)
def test_impossible_passwords_are_refused(engine: Engine, inputs: dict[str, object], property_name: str) -> None:
    assert list(engine.refusals(PASSWORD, inputs)) == [property_name]


def test_a_length_that_is_not_known_yet_is_accepted(engine: Engine) -> None:
    assert engine.refusals(PASSWORD, {"length": UNKNOWN}) == {}


def test_the_spellings_of_an_id_are_of_the_same_bytes(engine: Engine) -> None:
    identity, outputs, secrets = engine.create(ID, {"byteLength": 5, "prefix": "p-"})
    assert outputs["hex"].startswith("p-")
    assert int(outputs["hex"][2:], 16) == int(outputs["dec"][2:])
    assert outputs["b64Url"] == f"p-{identity}"
    assert secrets == frozenset()


def test_an_id_needs_at_least_one_byte(engine: Engine) -> None:
    assert list(engine.refusals(ID, {"byteLength": 0})) == ["byteLength"]
