"""Speaks Pulumi's provider protocol to a plugin in this process, over real gRPC, as the engine would."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from lab.pulumi_host import provider as protocol
from lab.pulumi_host.provider import Properties, Provider, plain, secret_keys, struct


@dataclass
class Engine:
    """The engine's side of one resource after the other."""

    stub: provider_pb2_grpc.ResourceProviderStub

    @staticmethod
    def urn(kind: str, name: str) -> str:
        """Return the URN of a resource of type ``kind``."""
        return f"urn:pulumi:dev::project::obs:k:Parent${kind}::{name}"

    def configure(self, settings: Mapping[str, Any], secrets: tuple[str, ...] = ()) -> None:
        """Configure the provider."""
        self.stub.Configure(provider_pb2.ConfigureRequest(args=struct(settings, secrets), acceptSecrets=True))

    def check(self, kind: str, inputs: Mapping[str, Any], old: Mapping[str, Any] | None = None, name: str = "r") -> Any:
        """Return the answer to Check."""
        olds = None if old is None else struct(old)
        return self.stub.Check(provider_pb2.CheckRequest(urn=self.urn(kind, name), olds=olds, news=struct(inputs)))

    def refusals(self, kind: str, inputs: Mapping[str, Any], old: Mapping[str, Any] | None = None) -> dict[str, str]:
        """Return what Check refuses, by property."""
        return {failure.property: failure.reason for failure in self.check(kind, inputs, old).failures}

    def diff(self, kind: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Any:
        """Return the answer to Diff for inputs ``old`` and ``new``."""
        urn = self.urn(kind, "r")
        request = provider_pb2.DiffRequest(id="i", urn=urn, olds=struct(old), old_inputs=struct(old), news=struct(new))
        return self.stub.Diff(request)

    def create(
        self, kind: str, inputs: Mapping[str, Any], secrets: tuple[str, ...] = (), preview: bool = False
    ) -> tuple[str, Properties, frozenset[str]]:
        """Create a resource; returns its id, its outputs and the names of those that are secret."""
        urn = self.urn(kind, "r")
        answer = self.stub.Create(
            provider_pb2.CreateRequest(urn=urn, properties=struct(inputs, secrets), preview=preview)
        )
        return answer.id, plain(answer.properties), secret_keys(answer.properties)

    def read(
        self, kind: str, identity: str, state: Mapping[str, Any], inputs: Mapping[str, Any]
    ) -> tuple[str, Properties, Properties]:
        """Read a resource; returns id (empty: gone), outputs and inputs."""
        urn = self.urn(kind, "r")
        answer = self.stub.Read(
            provider_pb2.ReadRequest(id=identity, urn=urn, properties=struct(state), inputs=struct(inputs))
        )
        return answer.id, plain(answer.properties), plain(answer.inputs)

    def update(
        self, kind: str, identity: str, old: Mapping[str, Any], new: Mapping[str, Any], preview: bool = False
    ) -> Properties:
        """Update a resource; returns its outputs."""
        urn = self.urn(kind, "r")
        request = provider_pb2.UpdateRequest(
            id=identity, urn=urn, olds=struct(old), old_inputs=struct(old), news=struct(new), preview=preview
        )
        return plain(self.stub.Update(request).properties)

    def delete(self, kind: str, identity: str, state: Mapping[str, Any]) -> None:
        """Delete a resource."""
        self.stub.Delete(provider_pb2.DeleteRequest(id=identity, urn=self.urn(kind, "r"), properties=struct(state)))


@contextmanager
def engine_of(provider: Provider) -> Iterator[Engine]:
    """Serve ``provider`` and yield the engine's side."""
    grpc_server, port = protocol.create(
        lambda servicer_server: provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, servicer_server),
        workers=4,
    )
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Engine(provider_pb2_grpc.ResourceProviderStub(channel))
    finally:
        grpc_server.stop(None).wait(5)
