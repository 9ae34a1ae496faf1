"""The servicer asks the policies of a resource's kind, once per resource, and keeps what rules need of a stack."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pulumi_policy.policy as sdk
import pytest
from pulumi.runtime.proto import analyzer_pb2 as proto

from policy import servicer

SERVICE = "kubernetes:core/v1:Service"
SECRET = "kubernetes:core/v1:Secret"
_REPLACED = ("json_format", "deserialize_properties", "unknown_checking_proxy", "_PolicyAnalyzerServicer")


@pytest.fixture(autouse=True)
def _installed() -> Iterator[None]:
    module: Any = sdk
    before = {name: getattr(module, name) for name in _REPLACED}
    servicer.install()
    yield
    for name, original in before.items():
        setattr(module, name, original)


def resource_policy(name: str, *kinds: str) -> servicer.KindPolicy:
    """A policy that reports what it is shown."""
    return servicer.KindPolicy(
        frozenset(kinds),
        name=name,
        description=name,
        validate=lambda args, report: report(f"{args.name} {dict(args.props)}"),
    )


def stack_policy(name: str) -> sdk.StackValidationPolicy:
    """A policy that reports the resources of a stack."""
    return sdk.StackValidationPolicy(
        name=name,
        description=name,
        validate=lambda args, report: report(
            " ".join(f"{resource.resource_type} {dict(resource.props)}" for resource in args.resources)
        ),
    )


def serving(*policies: sdk.Policy) -> Any:
    """The servicer that a pack of these policies gets."""
    module: Any = sdk
    return module._PolicyAnalyzerServicer("pack", "1.0.0", list(policies), sdk.EnforcementLevel.MANDATORY)


def request(type_: str) -> proto.AnalyzeRequest:
    """A resource as the engine sends it, with provider and options."""
    message = proto.AnalyzeRequest(type=type_, name="web", urn=f"urn:pulumi:s::p::{type_}::web")
    message.properties.update({"port": 80})
    message.options.protect = True
    message.provider.type = "pulumi:providers:kubernetes"
    return message


def reported(response: proto.AnalyzeResponse) -> list[tuple[str, str]]:
    """Policy and message of every report."""
    return [(entry.policyName, entry.message.partition("\n")[2]) for entry in response.diagnostics]


def test_a_resource_is_shown_to_the_policies_of_its_kind_and_of_all_kinds() -> None:
    pack = serving(resource_policy("services", "Service"), resource_policy("every"), stack_policy("stack"))
    assert reported(pack.Analyze(request(SERVICE), None)) == [
        ("services", "web {'port': 80.0}"),
        ("every", "web {'port': 80.0}"),
    ]
    assert reported(pack.Analyze(request(SECRET), None)) == [("every", "web {'port': 80.0}")]


def test_the_engine_is_told_of_every_policy_whatever_was_asked_before() -> None:
    pack = serving(resource_policy("services", "Service"), resource_policy("secrets", "Secret"), stack_policy("stack"))
    pack.Analyze(request(SECRET), None)
    assert [entry.name for entry in pack.GetAnalyzerInfo(None, None).policies] == ["services", "secrets", "stack"]


def test_a_level_that_is_configured_holds_for_the_policies_of_a_kind() -> None:
    pack = serving(resource_policy("services", "Service"))
    configured = proto.ConfigureAnalyzerRequest()
    configured.policyConfig["services"].enforcementLevel = proto.DISABLED
    pack.Configure(configured, None)
    assert reported(pack.Analyze(request(SERVICE), None)) == []


def test_a_stack_is_shown_with_types_and_properties() -> None:
    pack = serving(stack_policy("stack"), resource_policy("services", "Service"))
    stack = proto.AnalyzeStackRequest()
    for type_ in (SERVICE, SECRET):
        resource = stack.resources.add(type=type_, name="web", urn=f"urn:pulumi:s::p::{type_}::web")
        resource.properties.update({"port": 80})
        resource.dependencies.append(f"urn:pulumi:s::p::{SERVICE}::web")
    assert reported(pack.AnalyzeStack(stack, None)) == [
        ("stack", f"{SERVICE} {{'port': 80.0}} {SECRET} {{'port': 80.0}}")
    ]


def test_properties_are_converted_once_for_all_policies(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[object] = []
    module: Any = sdk
    convert = module.deserialize_properties._function

    def counting(properties: object) -> object:
        counted.append(properties)
        return convert(properties)

    monkeypatch.setattr(module, "deserialize_properties", servicer.Memoized(counting))
    pack = serving(*(resource_policy(f"services-{number}", "Service") for number in range(5)))
    assert len(reported(pack.Analyze(request(SERVICE), None))) == 5
    assert len(counted) == 1
