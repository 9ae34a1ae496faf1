"""Names in Route 53: where they lead, and a change that is whole or not at all."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

from ops.core.access import Dns
from ops.core.errors import OpsError, one_line
from ops.core.kube import wait_until

KEY, SECRET, AUTHORITY = "OBS_DNS_ACCESS_KEY_ID", "OBS_DNS_SECRET_ACCESS_KEY", "OBS_DNS_CA_FILE"
"""Variables with another login than that of the AWS variables, and with the authority of another address."""

SPREAD_S = 60.0
"""How long Route 53 may take until all its servers answer with what is new."""
_MOVES = ("A", "AAAA", "CNAME")
_ROUTED = "{name} has a routing policy in Route 53: make it a simple record, or change it by hand"
_SIGNED_FOR = "us-east-1"
"""Route 53 is one for all regions; requests are signed for this one."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a name leads to: kind of record, seconds for which an answer may be kept, values."""

    kind: str
    ttl_s: int
    values: tuple[str, ...]

    def leads_to(self, target: str) -> bool:
        """Whether it leads there and nowhere else."""
        return self.kind == kind_of(target) and [record_value.rstrip(".") for record_value in self.values] == [
            target.rstrip(".")
        ]

    def __str__(self) -> str:
        return f"{self.kind} {', '.join(self.values)}, {self.ttl_s} s"


def kind_of(target: str) -> str:
    """Kind of the record that leads to an address or to a host's name."""
    try:
        version = ipaddress.ip_address(target).version
    except ValueError:
        return "CNAME"
    return "A" if version == 4 else "AAAA"


def change(name: str, target: str, ttl_s: int, there: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One change: the new record, and the end of those of other kinds, beside which it could not be.

    Args:
        name: The name.
        target: Where it is to lead.
        ttl_s: How long others may keep the answer, seconds.
        there: Records that the name has.

    Raises:
        OpsError: The name is one of weights, places or health checks, which is not ours to change.
    """
    if any("SetIdentifier" in record_set for record_set in there):
        raise OpsError(_ROUTED.format(name=name))
    kind = kind_of(target)
    others = [record_set for record_set in there if record_set["Type"] in _MOVES and record_set["Type"] != kind]
    record = {"Name": name, "Type": kind, "TTL": ttl_s, "ResourceRecords": [{"Value": target}]}
    return [
        *({"Action": "DELETE", "ResourceRecordSet": dict(other)} for other in others),
        {"Action": "UPSERT", "ResourceRecordSet": record},
    ]


class Zone:
    """A hosted zone; every call has a time limit."""

    def __init__(self, client: Any, zone: str) -> None:
        self._client, self._zone = client, zone.rstrip(".")
        self._found = ""

    def answer(self, name: str) -> Answer | None:
        """What a name leads to as Route 53 has it; None when there is no such record.

        Raises:
            OpsError: Route 53 does not answer, or refuses.
        """
        for record in self._records(name):
            if record["Type"] in _MOVES:
                values = tuple(str(one["Value"]) for one in record.get("ResourceRecords", ()))
                alias = record.get("AliasTarget")
                shown = (str(alias["DNSName"]),) if alias else values
                return Answer(kind=record["Type"], ttl_s=int(record.get("TTL", 0)), values=shown)
        return None

    def point(self, name: str, target: str, ttl_s: int) -> Answer:
        """Lead a name somewhere, wait until Route 53 says so everywhere, and read it back.

        Raises:
            OpsError: Route 53 does not answer, refuses, or has something else afterwards.
        """
        number = self._change(name, change(name, target, ttl_s, self._records(name)))
        wait_until(lambda: self._spread(number), SPREAD_S, f"all of Route 53 to know {name}", 1.0)
        now = self.answer(name)
        if now is None or not now.leads_to(target):
            raise OpsError(f"{name} leads to {now or 'nothing'} after the change, must lead to {target}")
        return now

    def rewrite(self, name: str) -> None:
        """Write what a name has as it is, which asks for the right to change it and changes nothing.

        A name that has no record yet is only read.

        Raises:
            OpsError: Route 53 does not answer, or refuses; or the name is not ours to change.
        """
        there = [dict(record_set) for record_set in self._records(name) if record_set["Type"] in _MOVES]
        if any("SetIdentifier" in record_set for record_set in there):
            raise OpsError(_ROUTED.format(name=name))
        if there:
            self._change(name, [{"Action": "UPSERT", "ResourceRecordSet": record_set} for record_set in there])

    def _change(self, name: str, changes: list[dict[str, Any]]) -> str:
        batch = {"Comment": "ops failover", "Changes": changes}
        with _errors(f"cannot change {name}"):
            response = self._client.change_resource_record_sets(HostedZoneId=self._id(), ChangeBatch=batch)
        return str(response["ChangeInfo"]["Id"])

    def _spread(self, number: str) -> bool:
        with _errors("cannot read a change"):
            return bool(self._client.get_change(Id=number)["ChangeInfo"]["Status"] == "INSYNC")

    def _records(self, name: str) -> list[Mapping[str, Any]]:
        wanted = name.rstrip(".").lower() + "."
        with _errors(f"cannot read {name}"):
            response = self._client.list_resource_record_sets(
                HostedZoneId=self._id(), StartRecordName=wanted, MaxItems="20"
            )
        return [
            record_set for record_set in response["ResourceRecordSets"] if str(record_set["Name"]).lower() == wanted
        ]

    def _id(self) -> str:
        if not self._found:
            with _errors(f"cannot find the zone {self._zone}"):
                zones = self._client.list_hosted_zones_by_name(DNSName=f"{self._zone}.", MaxItems="10")["HostedZones"]
            named = [zone for zone in zones if str(zone["Name"]).rstrip(".") == self._zone]
            public = [zone for zone in named if not zone.get("Config", {}).get("PrivateZone")] or named
            if len(public) != 1:
                raise OpsError(f"Route 53 has {len(public)} zones {self._zone}, must have one")
            self._found = str(public[0]["Id"]).rpartition("/")[2]
        return self._found


@contextmanager
def zone(dns: Dns) -> Iterator[Zone]:
    """The zone, with the login of the environment."""
    own = {"aws_access_key_id": os.environ.get(KEY), "aws_secret_access_key": os.environ.get(SECRET)}
    client = boto3.session.Session().client(
        "route53",
        endpoint_url=dns.endpoint,
        region_name=_SIGNED_FOR,
        verify=os.environ.get(AUTHORITY) or True,
        config=Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "max_attempts": 3}, proxies={}),
        **(own if all(own.values()) else {}),
    )
    try:
        yield Zone(client, dns.zone)
    finally:
        client.close()


@contextmanager
def _errors(what: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        told = error.response.get("Error", {})
        raise OpsError(
            f"Route 53: {what}: {told.get('Code', 'refused')}: {one_line(told.get('Message', ''))}"
        ) from None
    except (BotoCoreError, OSError) as error:
        raise OpsError(f"Route 53: {what}: {one_line(error)}: set AWS_* or {KEY} and {SECRET}") from None
