"""What every Pulumi plugin speaks: gRPC on loopback, the port printed, a quiet end; property values on the wire as
structs in which secrets and unknowns are marked by signatures.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent import futures
from typing import Any, Final

import grpc
from google.protobuf import struct_pb2

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
