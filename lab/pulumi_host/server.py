"""The shape every Pulumi plugin shares: serve gRPC on loopback, print the port, leave quietly."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent import futures

import grpc

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
