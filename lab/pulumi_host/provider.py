"""The base of a provider plugin: Pulumi's protocol on one side, small resource handlers on the other.

The protocol is what every Pulumi plugin speaks: gRPC on loopback, the port printed, a quiet end; property values on the
wire as structs in which secrets and unknowns are marked by signatures. A handler works with plain Python values:
secrets, unknowns, previews, replacement and errors are dealt with here once.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent import futures
from dataclasses import dataclass
from typing import Any, ClassVar, Final, NoReturn

import grpc
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

# The engine's own limit: a stack's inputs (a CRD, a large ConfigMap) easily exceed gRPC's default of 4 MB.
_MESSAGE_LIMIT_BYTES = 400 * 1024 * 1024
_OPTIONS = [
    ("grpc.max_receive_message_length", _MESSAGE_LIMIT_BYTES),
    ("grpc.max_send_message_length", _MESSAGE_LIMIT_BYTES),
]
_WORKERS = 32
_PARENT_CHECK_S = 1.0
_STOP_GRACE_S = 2.0


def create(register: Callable[[grpc.Server], None], workers: int = _WORKERS) -> tuple[grpc.Server, int]:
    """Start a gRPC server on a free loopback port and return it with the port."""
    server = grpc.server(futures.ThreadPoolExecutor(workers), options=_OPTIONS)
    register(server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def engine_address(arguments: list[str]) -> str:
    """Return the address that the engine passes as its only positional argument, or nothing."""
    return next((value for value in arguments if not value.startswith("-")), "")


def serve(register: Callable[[grpc.Server], None], on_stop: Callable[[], None]) -> None:
    """Run a plugin until SIGINT, SIGTERM, or the engine's death; never longer than the grace time after that.

    Args:
        register: Adds the servicer to the server.
        on_stop: Ends what is under way (child processes, waits). Called once, from the main thread.
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    engine = os.getppid()
    server, port = create(register)
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    while not stop.wait(_PARENT_CHECK_S):
        if os.getppid() != engine:
            break
    on_stop()
    server.stop(_STOP_GRACE_S).wait(_STOP_GRACE_S)
    # Worker threads may still wait for a broker or a child: the plugin must be gone when the engine says so.
    os._exit(0)


SIGNATURE: Final = "4dabf18193072939515e22adb298388d"


SECRET: Final = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - the mark of a secret, not one


_OUTPUT: Final = "d0e6a833031e9bbcd3f4e8bde6ca49a4"


UNKNOWN_TEXT: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


Properties = dict[str, Any]


class Unknown:
    """A value that a preview cannot know; there is one, ``UNKNOWN``."""

    def __repr__(self) -> str:
        """Name it as Pulumi does."""
        return "<unknown>"


UNKNOWN: Final = Unknown()


def _plain(value: struct_pb2.Value) -> Any:
    match value.WhichOneof("kind"):
        case "struct_value":
            fields = value.struct_value.fields
            marked = fields[SIGNATURE].string_value if SIGNATURE in fields else ""
            if marked == SECRET:
                return _plain(fields["value"])
            if marked == _OUTPUT:
                return _plain(fields["value"]) if "value" in fields else UNKNOWN
            return {key: _plain(item) for key, item in fields.items()}
        case "list_value":
            return [_plain(item) for item in value.list_value.values]
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        case "string_value":
            return UNKNOWN if value.string_value == UNKNOWN_TEXT else value.string_value
        case "bool_value":
            return value.bool_value
        case _:
            return None


def plain(struct: struct_pb2.Struct) -> Properties:
    """Return a struct as Python values: secrets unwrapped, unknowns as ``UNKNOWN``, absent (null) ones left out."""
    values = {key: _plain(value) for key, value in struct.fields.items()}
    return {key: value for key, value in values.items() if value is not None}


def _has_secret(value: struct_pb2.Value) -> bool:
    match value.WhichOneof("kind"):
        case "struct_value":
            fields = value.struct_value.fields
            if SIGNATURE in fields:
                sealed = fields[SIGNATURE].string_value
                if sealed == SECRET or (sealed == _OUTPUT and "secret" in fields and fields["secret"].bool_value):
                    return True
            return any(_has_secret(item) for item in fields.values())
        case "list_value":
            return any(_has_secret(item) for item in value.list_value.values)
        case _:
            return False


def secret_keys(*structs: struct_pb2.Struct) -> frozenset[str]:
    """Return the names of the properties that hold a secret anywhere."""
    return frozenset(key for struct in structs for key, value in struct.fields.items() if _has_secret(value))


def has_unknown(value: Any) -> bool:
    """Tell whether a plain value is, or contains, an unknown."""
    if isinstance(value, Unknown):
        return True
    if isinstance(value, Mapping):
        return any(has_unknown(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(has_unknown(item) for item in value)
    return False


def _wire(value: Any) -> Any:
    if isinstance(value, Unknown):
        return UNKNOWN_TEXT
    if isinstance(value, Mapping):
        return {key: _wire(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_wire(item) for item in value]
    return value


def struct(properties: Mapping[str, Any], secrets: Iterable[str] = ()) -> struct_pb2.Struct:
    """Return properties as a struct, with the named ones sealed as secrets."""
    sealed = frozenset(secrets)
    message = struct_pb2.Struct()
    message.update(
        {
            key: {SIGNATURE: SECRET, "value": _wire(value)} if key in sealed else _wire(value)
            for key, value in properties.items()
            if value is not None
        }
    )
    return message


class ProviderError(Exception):
    """One clear line for the user; shown by the engine without a traceback."""


@dataclass(frozen=True)
class Refusal:
    """One input that cannot be accepted, and why."""

    property: str
    reason: str


class Handler(ABC):
    """One resource type: what its inputs are, and how it comes to be and goes."""

    resource_type: ClassVar[str]
    inputs: ClassVar[frozenset[str]]
    required: ClassVar[frozenset[str]] = frozenset()
    replace_on: ClassVar[frozenset[str]] = frozenset()
    secret_outputs: ClassVar[frozenset[str]] = frozenset()
    computed: ClassVar[frozenset[str]] = frozenset()

    def defaults(self, inputs: Properties, name: str) -> Properties:
        """Return the inputs with what the user left out filled in; ``name`` is the resource's Pulumi name."""
        return inputs

    def refusals(self, inputs: Properties, old: Properties | None) -> list[Refusal]:
        """Say what is wrong with the inputs; unknown values must be passed over."""
        return []

    def replaced_by(self, key: str, old: Properties, new: Properties) -> bool:
        """Tell whether the change of one input makes another resource; ``old`` and ``new`` are all inputs."""
        return key in self.replace_on

    def deleted_first(self, replaces: Sequence[str]) -> bool:
        """Tell whether a replaced resource goes before the new one comes; ``replaces`` are the inputs that changed."""
        return False

    def foreseen(self, inputs: Properties) -> Properties:
        """Return the outputs that a preview shows of a resource that does not exist yet."""
        return {**dict.fromkeys(self.computed, UNKNOWN), **inputs}

    @abstractmethod
    def create(self, inputs: Properties) -> tuple[str, Properties]:
        """Make the resource; returns its id and its outputs."""

    @abstractmethod
    def read(self, identity: str, state: Properties) -> tuple[Properties, Properties] | None:
        """Return outputs and inputs of what is really there, or nothing if it is gone."""

    @abstractmethod
    def update(self, identity: str, old: Properties, new: Properties) -> Properties:
        """Change the resource in place; returns its outputs."""

    @abstractmethod
    def delete(self, identity: str, state: Properties) -> None:
        """Remove the resource; what is already gone is no error."""


def refuse_all(handler: Handler, inputs: Properties, old: Properties | None) -> list[Refusal]:
    """Return every reason to refuse the inputs, the ones of the handler last."""
    refusals = [
        Refusal(key, f"is not a property of {handler.resource_type}; allowed: {', '.join(sorted(handler.inputs))}")
        for key in sorted(inputs.keys() - handler.inputs)
    ]
    refusals += [Refusal(key, "is required") for key in sorted(handler.required - inputs.keys())]
    return refusals or handler.refusals(inputs, old)


def changed_keys(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return the names of properties that differ, unknown ones included."""
    return sorted(key for key in {*old, *new} if has_unknown(new.get(key)) or old.get(key) != new.get(key))


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """Pulumi's resource provider protocol over a set of handlers."""

    def __init__(self, version: str, handlers: Sequence[Handler], stopping: threading.Event) -> None:
        """Serve ``handlers`` as plugin ``version``; ``stopping`` is set when the engine cancels."""
        self._version = version
        self._handlers = {handler.resource_type: handler for handler in handlers}
        self._stopping = stopping

    def configure(self, configuration: Properties) -> None:
        """Take the provider's configuration; must not connect to anything."""

    # Protocol: the method names are Pulumi's.

    def Handshake(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True)

    def GetPluginInfo(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return plugin_pb2.PluginInfo(version=self._version)

    def GetSchema(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return provider_pb2.GetSchemaResponse(schema="{}")

    def CheckConfig(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        keys = changed_keys(
            plain(request.old_inputs if request.HasField("old_inputs") else request.olds), plain(request.news)
        )
        kind = provider_pb2.DiffResponse.DIFF_SOME if keys else provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(changes=kind, diffs=keys)

    def Configure(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._answer(context, lambda: self.configure(plain(request.args)))
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    def Check(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        def check() -> Any:
            handler = self._handler(request.urn)
            old = plain(request.olds) if request.HasField("olds") and request.olds.fields else None
            news = plain(request.news)
            refusals = refuse_all(handler, news, old)
            if refusals:
                failures = [provider_pb2.CheckFailure(property=item.property, reason=item.reason) for item in refusals]
                return provider_pb2.CheckResponse(inputs=request.news, failures=failures)
            inputs = handler.defaults(news, request.urn.rsplit("::", 1)[-1])
            return provider_pb2.CheckResponse(inputs=struct(inputs, secret_keys(request.news)))

        return self._answer(context, check)

    def Diff(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        def diff() -> Any:
            handler = self._handler(request.urn)
            old = plain(request.old_inputs if request.HasField("old_inputs") else request.olds)
            new = plain(request.news)
            old = {key: value for key, value in old.items() if key in handler.inputs}
            ignored = set(request.ignoreChanges)
            keys = [key for key in changed_keys(old, new) if key not in ignored]
            replaces = [key for key in keys if handler.replaced_by(key, old, new)]
            kind = provider_pb2.DiffResponse.DIFF_SOME if keys else provider_pb2.DiffResponse.DIFF_NONE
            return provider_pb2.DiffResponse(
                changes=kind,
                diffs=keys,
                replaces=replaces,
                deleteBeforeReplace=bool(replaces) and handler.deleted_first(replaces),
                hasDetailedDiff=True,
                detailedDiff={key: _detail(key, old, new, key in replaces) for key in keys},
            )

        return self._answer(context, diff)

    def Create(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        def create() -> Any:
            handler = self._handler(request.urn)
            inputs = plain(request.properties)
            sealed = secret_keys(request.properties) | handler.secret_outputs
            if request.preview:
                return provider_pb2.CreateResponse(id="", properties=struct(handler.foreseen(inputs), sealed))
            identity, outputs = handler.create(inputs)
            return provider_pb2.CreateResponse(id=identity, properties=struct(outputs, sealed))

        return self._answer(context, create)

    def Read(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        def read() -> Any:
            handler = self._handler(request.urn)
            read_state = handler.read(request.id, plain(request.properties))
            if read_state is None:
                return provider_pb2.ReadResponse()
            outputs, live = read_state
            # What the program left out must not turn up as its input, or the next update would take it away.
            given = plain(request.inputs)
            inputs = {key: value for key, value in live.items() if key in given} if given else live
            sealed = secret_keys(request.properties, request.inputs) | handler.secret_outputs
            return provider_pb2.ReadResponse(
                id=request.id, properties=struct(outputs, sealed), inputs=struct(inputs, sealed)
            )

        return self._answer(context, read)

    def Update(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        def update() -> Any:
            handler = self._handler(request.urn)
            old, new = plain(request.olds), plain(request.news)
            sealed = secret_keys(request.news) | handler.secret_outputs
            outputs = {**old, **new} if request.preview else handler.update(request.id, old, new)
            return provider_pb2.UpdateResponse(properties=struct(outputs, sealed))

        return self._answer(context, update)

    def Delete(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        def delete() -> Any:
            self._handler(request.urn).delete(request.id, plain(request.properties))
            return empty_pb2.Empty()

        return self._answer(context, delete)

    def Cancel(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._stopping.set()
        return empty_pb2.Empty()

    def _handler(self, urn: str) -> Handler:
        token = urn.split("::")[2].rsplit("$", 1)[-1]
        try:
            return self._handlers[token]
        except KeyError:
            raise ProviderError(
                f"{token} is not offered by the lab's provider plugin; it has {', '.join(sorted(self._handlers))}. "
                "Use one of these, or put the vendor's plugin on PATH."
            ) from None

    def _answer(self, context: grpc.ServicerContext, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except ProviderError as error:
            _abort(context, grpc.StatusCode.FAILED_PRECONDITION, str(error))
        except Exception as error:
            # Values may be secret: the type and place are told, the message is not.
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{place.filename}:{place.lineno}"
            _abort(context, grpc.StatusCode.INTERNAL, f"defect in the lab's plugin: {type(error).__name__} at {where}")


def _abort(context: grpc.ServicerContext, code: grpc.StatusCode, message: str) -> NoReturn:
    context.abort(code, message)
    raise AssertionError("abort() always raises")


def _detail(key: str, old: Mapping[str, Any], new: Mapping[str, Any], replace: bool) -> Any:
    kinds = provider_pb2.PropertyDiff
    if key not in old:
        kind = kinds.ADD_REPLACE if replace else kinds.ADD
    elif key not in new:
        kind = kinds.DELETE_REPLACE if replace else kinds.DELETE
    else:
        kind = kinds.UPDATE_REPLACE if replace else kinds.UPDATE
    return kinds(kind=kind, inputDiff=True)


def run(provider: Provider, stopping: threading.Event) -> None:
    """Serve the provider until the engine is done with it."""
    serve(
        lambda grpc_server: provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, grpc_server),
        stopping.set,
    )


def say(message: str) -> None:
    """Tell the user something through the engine, which shows a plugin's standard error."""
    sys.stderr.write(message + "\n")
    sys.stderr.flush()
