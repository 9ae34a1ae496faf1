"""The provider base: what the engine sees, whatever the resource."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2

from lab.pulumi_host.provider import (
    SECRET,
    SIGNATURE,
    UNKNOWN,
    Handler,
    Properties,
    Provider,
    ProviderError,
    Refusal,
    has_unknown,
    plain,
    secret_keys,
    struct,
)
from tests.support.provider import Engine, engine_of

THING = "test:index:Thing"


class Thing(Handler):
    """A resource that exists in a dictionary."""

    resource_type = THING
    inputs = frozenset({"name", "size", "secret", "extra"})
    required = frozenset({"name"})
    replace_on = frozenset({"name"})
    computed = frozenset({"serial"})
    secret_outputs = frozenset({"serial"})

    def __init__(self) -> None:
        self.there: dict[str, Properties] = {}

    def defaults(self, inputs: Properties, name: str) -> Properties:
        return {"size": 1, **inputs}

    def refusals(self, inputs: Properties, old: Properties | None) -> list[Refusal]:
        return [Refusal("size", "is too big")] if inputs.get("size") == 99 else []

    def create(self, inputs: Properties) -> tuple[str, Properties]:
        if inputs["name"] == "impossible":
            raise ProviderError("the brokers say no")
        if inputs["name"] == "defect":
            raise KeyError(inputs["secret"])
        self.there[inputs["name"]] = inputs
        return str(inputs["name"]), {**inputs, "serial": "s3cret"}

    def read(self, identity: str, state: Properties) -> tuple[Properties, Properties] | None:
        remote_state = self.there.get(identity)
        return (
            None
            if remote_state is None
            else ({**state, **remote_state, "extra": "drift"}, {**remote_state, "extra": "drift"})
        )

    def update(self, identity: str, old: Properties, new: Properties) -> Properties:
        self.there[identity] = new
        return {**old, **new}

    def delete(self, identity: str, state: Properties) -> None:
        self.there.pop(identity, None)


@pytest.fixture
def stopping() -> threading.Event:
    return threading.Event()


@pytest.fixture
def thing() -> Thing:
    return Thing()


@pytest.fixture
def engine(thing: Thing, stopping: threading.Event) -> Iterator[Engine]:
    with engine_of(Provider("1.2.3", [thing], stopping)) as provider_engine:
        yield provider_engine


def test_values_survive_the_wire_with_integers_as_integers() -> None:
    values = {"a": 1, "b": 1.5, "c": [True, {"d": "x"}], "e": ""}
    assert plain(struct(values)) == values


def test_secrets_are_unwrapped_and_remembered_by_name() -> None:
    sealed = struct({"a": {"b": "x"}, "c": "y"}, {"a"})
    assert sealed["a"][SIGNATURE] == SECRET
    assert plain(sealed) == {"a": {"b": "x"}, "c": "y"}
    assert secret_keys(sealed) == {"a"}


def test_unknowns_are_recognised_however_deep_they_are() -> None:
    read = plain(struct({"a": UNKNOWN, "b": {"c": [UNKNOWN]}, "d": 1}))
    assert read["a"] is UNKNOWN
    assert has_unknown(read["b"])
    assert not has_unknown(read["d"])


def test_the_plugin_tells_its_version(engine: Engine) -> None:
    assert engine.stub.GetPluginInfo(empty_pb2.Empty()).version == "1.2.3"


def test_secrets_are_accepted_in_both_handshakes(engine: Engine) -> None:
    assert engine.stub.Handshake(provider_pb2.ProviderHandshakeRequest()).accept_secrets
    answer = engine.stub.Configure(provider_pb2.ConfigureRequest())
    assert answer.acceptSecrets
    assert answer.supportsPreview


def test_check_fills_in_defaults_and_keeps_secrets_sealed(engine: Engine) -> None:
    request = provider_pb2.CheckRequest(
        urn=engine.urn(THING, "r"), news=struct({"name": "a", "secret": "x"}, {"secret"})
    )
    inputs = engine.stub.Check(request).inputs
    assert plain(inputs) == {"name": "a", "secret": "x", "size": 1}
    assert secret_keys(inputs) == {"secret"}


def test_check_names_an_unknown_property_and_the_allowed_ones(engine: Engine) -> None:
    assert engine.refusals(THING, {"name": "a", "sise": 1}) == {
        "sise": f"is not a property of {THING}; allowed: extra, name, secret, size"
    }


def test_check_names_a_missing_property(engine: Engine) -> None:
    assert engine.refusals(THING, {"size": 1}) == {"name": "is required"}


def test_check_passes_on_what_the_resource_refuses(engine: Engine) -> None:
    assert engine.refusals(THING, {"name": "a", "size": 99}) == {"size": "is too big"}


def test_equal_inputs_are_no_change(engine: Engine) -> None:
    answer = engine.diff(THING, {"name": "a", "size": 1}, {"name": "a", "size": 1})
    assert answer.changes == provider_pb2.DiffResponse.DIFF_NONE


def test_a_changed_size_is_an_update_in_place(engine: Engine) -> None:
    answer = engine.diff(THING, {"name": "a", "size": 1}, {"name": "a", "size": 2})
    assert (list(answer.diffs), list(answer.replaces)) == (["size"], [])
    assert answer.detailedDiff["size"].kind == provider_pb2.PropertyDiff.UPDATE


def test_a_changed_name_replaces(engine: Engine) -> None:
    answer = engine.diff(THING, {"name": "a"}, {"name": "b"})
    assert list(answer.replaces) == ["name"]
    assert answer.detailedDiff["name"].kind == provider_pb2.PropertyDiff.UPDATE_REPLACE


def test_an_unknown_input_counts_as_a_change(engine: Engine) -> None:
    assert list(engine.diff(THING, {"name": "a", "size": 1}, {"name": "a", "size": UNKNOWN}).diffs) == ["size"]


def test_ignored_properties_are_no_change(engine: Engine) -> None:
    request = provider_pb2.DiffRequest(
        urn=engine.urn(THING, "r"),
        old_inputs=struct({"name": "a", "size": 1}),
        news=struct({"name": "a", "size": 2}),
        ignoreChanges=["size"],
    )
    assert engine.stub.Diff(request).changes == provider_pb2.DiffResponse.DIFF_NONE


def test_a_preview_creates_nothing_and_leaves_computed_outputs_unknown(engine: Engine, thing: Thing) -> None:
    identity, outputs, secrets = engine.create(THING, {"name": "a"}, preview=True)
    assert (identity, outputs["serial"], thing.there) == ("", UNKNOWN, {})
    assert secrets == {"serial"}


def test_secret_inputs_come_out_as_secret_outputs(engine: Engine) -> None:
    _, outputs, secrets = engine.create(THING, {"name": "a", "secret": "x"}, secrets=("secret",))
    assert outputs == {"name": "a", "secret": "x", "serial": "s3cret"}
    assert secrets == {"secret", "serial"}


def test_a_read_resource_has_only_inputs_that_the_program_gives(engine: Engine) -> None:
    engine.create(THING, {"name": "a", "size": 1})
    _, outputs, inputs = engine.read(THING, "a", {"name": "a"}, {"name": "a", "size": 1})
    assert outputs["extra"] == "drift"
    assert inputs == {"name": "a", "size": 1}


def test_an_imported_resource_has_all_its_inputs(engine: Engine) -> None:
    engine.create(THING, {"name": "a", "size": 1})
    assert engine.read(THING, "a", {}, {})[2] == {"name": "a", "size": 1, "extra": "drift"}


def test_a_resource_that_is_gone_reads_as_gone(engine: Engine) -> None:
    assert engine.read(THING, "a", {"name": "a"}, {"name": "a"})[0] == ""


def test_an_update_in_preview_changes_nothing(engine: Engine, thing: Thing) -> None:
    engine.create(THING, {"name": "a", "size": 1})
    engine.update(THING, "a", {"name": "a", "size": 1}, {"name": "a", "size": 2}, preview=True)
    assert thing.there["a"]["size"] == 1


def test_a_refusal_is_one_line_for_the_user(engine: Engine) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(THING, {"name": "impossible"})
    assert caught.value.details() == "the brokers say no"


def test_a_defect_tells_its_place_but_no_value(engine: Engine) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(THING, {"name": "defect", "secret": "hunter2"})
    assert "KeyError at " in caught.value.details()
    assert "hunter2" not in caught.value.details()


def test_a_resource_the_plugin_does_not_have_is_named(engine: Engine) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        engine.create("test:index:Other", {})
    assert "test:index:Other is not offered" in caught.value.details()
    assert THING in caught.value.details()


def test_cancelling_stops_waits(engine: Engine, stopping: threading.Event) -> None:
    engine.stub.Cancel(empty_pb2.Empty())
    assert stopping.is_set()


def test_functions_are_not_implemented_and_say_so(engine: Engine) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        engine.stub.Invoke(provider_pb2.InvokeRequest(tok="x"))
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_a_changed_provider_configuration_never_replaces_the_provider(engine: Engine) -> None:
    request = provider_pb2.DiffRequest(old_inputs=struct({"a": "1"}), news=struct({"a": "2"}))
    answer = engine.stub.DiffConfig(request)
    assert (list(answer.diffs), list(answer.replaces)) == (["a"], [])
