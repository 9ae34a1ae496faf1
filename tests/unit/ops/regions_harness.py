"""A witness bucket and a zone on this machine (moto), and stacks that tell of two regions."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import requests
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import s3_backends
from werkzeug.serving import make_server

from ops.core.platform import Platform, parse
from ops.regions.journal import Journal, Operation
from services.regions.witness import Heartbeat, Lease, Silence, Witness, region_key
from services.runtime.settings import Storage

BUCKET, ZONE, NAME = "obs-witness", "obs.example.com", "otlp.obs.example.com"
_ACCOUNT = "123456789012"
"""The one that moto has."""
KEY, SECRET = "AKIAWITNESS", "secret-of-the-witness"
A, B = "region-a", "region-b"
STACKS = {A: "organization/obs-platform/a", B: "organization/obs-platform/b"}
ADDRESSES = {A: "198.18.0.20", B: "198.19.0.50"}
FINGERPRINTS = {"rules": "1" * 64, "topics": "2" * 64}
TOPICS = ("telemetry-metrics", "alerts-raw", "alerts-processed")


@dataclass(frozen=True, kw_only=True)
class Harness:
    """What is in neither region.

    Attributes:
        url: Address of object storage and Route 53.
        witness: The bucket.
    """

    url: str
    witness: Witness

    def client(self, service: str) -> Any:
        """boto3's client with the one key."""
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
        )

    def outputs(self, region: str, role: str = "standby", **changed: Any) -> dict[str, Any]:
        """The stack output ``regions``."""
        other = A if region == B else B
        mirror = {"source": other, "topics": list(TOPICS), "groups": ["sampler"]} if role == "standby" else None
        return {
            "role": role,
            "region": region,
            "peer": {"stack": STACKS[other], "region": other},
            "witness": {
                "endpoint": self.url,
                "region": "us-east-1",
                "bucket": BUCKET,
                "access_key_id": KEY,
                "secret_access_key": SECRET,
                "authority": "",
            },
            "dns": {"zone": ZONE, "names": {"otlp": NAME}, "ttl_s": 1, "endpoint": self.url},
            "targets": {"otlp": ADDRESSES[region]},
            "fingerprints": FINGERPRINTS,
            "mirror": mirror,
            **changed,
        }

    def platform(self, made_up: Mapping[str, Any], region: str, role: str = "standby", **changed: Any) -> Platform:
        """The outputs of a region's stack."""
        regions = self.outputs(region, role, **changed.pop("regions", {}))
        return parse({**made_up, "region": region, "topics": list(TOPICS), "regions": regions, **changed})

    def beat(self, region: str, age_s: float = 0.0, ahead_s: float = 0.0, **changed: Any) -> Heartbeat:
        """A heartbeat that a region wrote so long ago, with a clock that is so far ahead."""
        values: dict[str, Any] = {
            "region": region,
            "role": "primary" if region == A else "standby",
            "at": datetime.now(UTC) + timedelta(seconds=ahead_s - age_s),
            "epoch": 0,
            "holder": None,
            "notifies": region == A,
            "isolated": False,
            "fingerprints": dict(FINGERPRINTS),
            "silences": (),
        }
        heartbeat = Heartbeat(**{**values, **changed})
        self.witness.beat(heartbeat)
        # The time at which the object storage says that it was written.
        [backend] = s3_backends[_ACCOUNT].values()
        stored = backend.buckets[BUCKET].keys[region_key(region)]
        stored.last_modified = stored.last_modified - timedelta(seconds=age_s)
        return heartbeat

    def lease(self, holder: str, epoch: int, *, notify: bool = True) -> None:
        """Write a lease, whoever has it."""
        current = self.witness.lease()
        lease = Lease(holder=holder, epoch=epoch, notify=notify, since=datetime.now(UTC), by="test", reason="test")
        self.witness.take(lease, current[1] if current else None)


@contextmanager
def harness() -> Iterator[Harness]:
    """An empty bucket, and a zone whose one name leads to region A."""
    server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    storage = Storage(
        endpoint=url,
        region="us-east-1",
        bucket=BUCKET,
        prefix="",
        access_key_id_file=Path("/nonexistent"),
        secret_access_key_file=Path("/nonexistent"),
        ca_file=None,
    )
    new_world = Harness(url=url, witness=Witness(storage, login=(KEY, SECRET), wait=lambda _: None))
    s3, dns = new_world.client("s3"), new_world.client("route53")
    # What moto has outlives its server: other tests of the same process may have left something.
    requests.post(f"{url}/moto-api/reset", timeout=60).raise_for_status()
    s3.create_bucket(Bucket=BUCKET)
    zone = dns.create_hosted_zone(Name=f"{ZONE}.", CallerReference="test")["HostedZone"]["Id"]
    record = {"Name": f"{NAME}.", "Type": "A", "TTL": 1, "ResourceRecords": [{"Value": ADDRESSES[A]}]}
    change = {"Changes": [{"Action": "CREATE", "ResourceRecordSet": record}]}
    dns.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=change)
    try:
        yield new_world
    finally:
        requests.post(f"{url}/moto-api/reset", timeout=60).raise_for_status()
        for client in (s3, dns):
            client.close()
        new_world.witness.close()
        server.shutdown()
        thread.join(60)
        server.server_close()


def operation(witness: Witness, **changed: Any) -> Journal:
    """A journal that has just begun."""
    values: dict[str, Any] = {
        "id": "20261125T180000Z-failover-region-b-0000",
        "kind": "failover",
        "target": B,
        "source": A,
        "planned": False,
        "by": "jo",
        "began": datetime.now(UTC),
    }
    journal = Journal(witness, Operation(**{**values, **changed}))
    journal.save()
    return journal


def ack(**changed: Any) -> Silence:
    """A silence of a person."""
    now = datetime.now(UTC)
    values: dict[str, Any] = {
        "id": "1",
        "matchers": (),
        "starts_at": now,
        "ends_at": now + timedelta(hours=1),
        "created_by": "jo",
        "comment": "on it",
    }
    return Silence(**{**values, **changed})
