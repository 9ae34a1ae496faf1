"""Numbered log records, to the gateway or to the agent of a node, and what of them is stored."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from components.agent.component import HTTP_PORT as AGENT_PORT
from components.agent.component import WORKLOAD as AGENT
from components.telemetry.layers import STREAMING
from ops.core import otlp
from ops.core.context import Context
from ops.core.errors import OpsError
from ops.core.terminal import say
from ops.core.web import Web
from ops.drills.tools.load import NumberedLoad, Send
from ops.drills.tools.search_client import SearchClient
from ops.drills.tools.sequences import Number

LAYER = STREAMING.name
SENDER, SEQUENCE = "e2e.sender", "e2e.sequence"
GIVE_UP_S = 120.0
Door = Callable[[Web, bytes], int]
"""Takes a session and a request of logs; the status code of the answer."""


def gateway(context: Context) -> Door:
    """Sends logs to the gateway's load balancer."""
    return lambda web, body: otlp.OtlpClient(context.platform, web).post("logs", body, context.otlp.login(LAYER))[0]


def agent(context: Context) -> Door:
    """Sends logs to the node agent."""

    def send(web: Web, body: bytes) -> int:
        pod = context.kube.ready_pod(AGENT).name
        url = f"{context.tunnels.url(pod, AGENT_PORT)}/v1/logs"
        headers = {"Content-Type": "application/x-protobuf"}
        try:
            with web.call("POST", url, auth=context.otlp.login(LAYER), data=body, headers=headers) as response:
                return response.status_code
        except OpsError:
            context.tunnels.drop(pod, AGENT_PORT)
            raise

    return send


class LogLoad(NumberedLoad):
    """Numbered log records; what was sent more than once may have arrived each time."""

    def __init__(self, ca_file: str, door: Door, *, workers: int = 2, batch: int = 25, pause: float = 0.25) -> None:
        super().__init__(ca_file, workers=workers, batch=batch, pause=pause, give_up_after=GIVE_UP_S)
        self.service = f"e2e-{self.run_id}"
        self._door = door

    def _sending(self, web: Web, numbers: Sequence[Number]) -> Send:
        body = log_request(self.service, numbers).SerializeToString()
        return lambda: (self._door(web, body), 0)

    def stored(self, search: SearchClient, seconds: float) -> Counter[Number]:
        """Number -> documents; asks again until none is missing or the time is up."""
        say(f"counting the log records in the index, {seconds:.0f} s for those that are late")
        deadline = time.monotonic() + seconds
        while True:
            counts: Counter[Number] = Counter()
            for hit in search.hits({"term": {"service": self.service}}, ["attributes"]):
                counts[number_of(hit["attributes"])] += 1
            if not self.ledger.missing(counts) or time.monotonic() > deadline:
                return counts
            time.sleep(2.0)


def log_request(service: str, numbers: Sequence[Number]) -> ExportLogsServiceRequest:
    """One request with a record for each number."""
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    group.resource.attributes.extend(otlp.attributes(otlp.resource_of(LAYER, service, service)))
    records = group.scope_logs.add().log_records
    now = time.time_ns()
    for worker, number in numbers:
        record = records.add(time_unix_nano=now, observed_time_unix_nano=now, severity_number=9, severity_text="INFO")
        record.body.string_value = "segment was stored"
        for key, value in ((SENDER, worker), (SEQUENCE, number)):
            record.attributes.add(key=key).value.CopyFrom(AnyValue(int_value=value))
    return request


def number_of(attributes: Mapping[str, object]) -> Number:
    """The number in a stored record's attributes."""
    return int(str(attributes[SENDER])), int(str(attributes[SEQUENCE]))
