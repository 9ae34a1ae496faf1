"""boto3's Route 53 against the fake of the zone, over verified TLS."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config


@contextmanager
def route53(base: str, authority: Path, key: str, secret: str) -> Iterator[Any]:
    """The real client, until the block ends."""
    client = boto3.client(
        "route53",
        region_name="us-east-1",
        endpoint_url=f"{base}/",
        verify=str(authority),
        config=Config(retries={"mode": "standard", "total_max_attempts": 1}, connect_timeout=5, read_timeout=5),
        aws_access_key_id=key,
        aws_secret_access_key=secret,
    )
    try:
        yield client
    finally:
        client.close()


def zone_id(client: Any, name: str = "obs.example.com") -> str:
    """Id of the one zone of that name."""
    [zone] = client.list_hosted_zones_by_name(DNSName=name)["HostedZones"]
    assert zone["Name"] == f"{name}."
    return str(zone["Id"])


def lead(client: Any, name: str, value: str, kind: str = "A", action: str = "UPSERT") -> str:
    """Change a record; Route 53's id of the change."""
    record = {"Name": name, "Type": kind, "TTL": 5, "ResourceRecords": [{"Value": value}]}
    batch = {"Changes": [{"Action": action, "ResourceRecordSet": record}]}
    response = client.change_resource_record_sets(HostedZoneId=zone_id(client), ChangeBatch=batch)
    return str(response["ChangeInfo"]["Id"])


def leads_to(client: Any) -> dict[str, list[str]]:
    """Name -> values, of addresses and aliases."""
    record_sets = client.list_resource_record_sets(HostedZoneId=zone_id(client))["ResourceRecordSets"]
    return {
        record_set["Name"]: [value["Value"] for value in record_set["ResourceRecords"]]
        for record_set in record_sets
        if record_set["Type"] in ("A", "CNAME")
    }
