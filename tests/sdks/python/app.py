"""A small service as docs/ingest.md starts it; ``app.py NUMBER`` sends one metric, trace and log with this number."""

from __future__ import annotations

import logging
import sys
import threading
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from flask import Flask
from opentelemetry import metrics, trace
from opentelemetry.trace import StatusCode
from werkzeug.serving import make_server

app = Flask("work-api")
logger = logging.getLogger("work-api")


@app.get("/api/works/<work>")
def works(work: str) -> str:
    """Answer 200."""
    return "done"


@app.get("/api/failing")
def failing() -> str:
    """Answer 500."""
    raise RuntimeError("failed")


def call(address: str) -> int:
    """The status that a server of this machine answers."""
    try:
        with urlopen(address, timeout=10) as answer:  # noqa: S310
            return int(answer.status)
    except HTTPError as error:
        return error.code


def main(number: str) -> None:
    """Serve and call itself, then send what is numbered; the SDK sends the rest when the program ends."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with trace.get_tracer("work-api").start_as_current_span("work", attributes={"work.id": number}) as span:
        for path in ("/api/works/12", "/api/failing", "/nowhere"):
            logger.warning("a request was answered: %s", call(f"http://127.0.0.1:{server.port}{path}"))
        try:
            call("http://127.0.0.1:1/refused")
        except URLError:
            logger.exception("no connection")
        metrics.get_meter("work-api").create_counter("work_event.processed", "{event}").add(int(number))
        logger.error("work %s failed", number)
        span.set_status(StatusCode.ERROR)
        print(f"trace {span.get_span_context().trace_id:032x}")
    server.shutdown()


if __name__ == "__main__":
    main(sys.argv[1])
