"""Names in Route 53 (moto): where they lead, and that a change leaves one record that leads to one place."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from ops.core.access import Dns
from ops.core.errors import OpsError
from ops.regions import dns
from tests.config.servers import free_port

ZONE, NAME = "obs.example.com", "otlp.obs.example.com"
KEYS = {dns.KEY: "AKIADNS", dns.SECRET: "secret-of-the-names"}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def client(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The zone's owner; the zone is new and empty."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    route53: Any = boto3.client(
        "route53",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=KEYS[dns.KEY],
        aws_secret_access_key=KEYS[dns.SECRET],
    )
    _clear(route53)
    route53.create_hosted_zone(Name=f"{ZONE}.", CallerReference="test")
    yield route53
    _clear(route53)
    route53.close()


def _clear(client: Any) -> None:
    """Remove all zones: what moto has is there for other tests of the same process, too."""
    for zone in client.list_hosted_zones()["HostedZones"]:
        for record_set in client.list_resource_record_sets(HostedZoneId=zone["Id"])["ResourceRecordSets"]:
            if record_set["Type"] not in ("NS", "SOA"):
                change = {"Changes": [{"Action": "DELETE", "ResourceRecordSet": record_set}]}
                client.change_resource_record_sets(HostedZoneId=zone["Id"], ChangeBatch=change)
        client.delete_hosted_zone(Id=zone["Id"])


@pytest.fixture
def zone(client: Any, url: str) -> Iterator[dns.Zone]:
    with dns.zone(access(url)) as opened_zone:
        yield opened_zone


def access(url: str, zone: str = ZONE) -> Dns:
    return Dns(zone=zone, names={"otlp": NAME}, ttl_s=30, endpoint=url)


@pytest.mark.parametrize(
    ("target", "kind"), [("198.18.0.20", "A"), ("2001:db8::1", "AAAA"), ("gateway.example.net", "CNAME")]
)
def test_a_name_leads_where_it_was_led(zone: dns.Zone, target: str, kind: str) -> None:
    assert zone.answer(NAME) is None
    assert zone.point(NAME, target, 30) == dns.Answer(kind=kind, ttl_s=30, values=(target,))
    answer = zone.answer(NAME)
    assert answer is not None
    assert answer.leads_to(target)


def test_an_address_becomes_a_host_and_back_without_a_record_that_is_left(zone: dns.Zone, client: Any) -> None:
    for target in ("198.18.0.20", "gateway.example.net", "198.19.0.50"):
        zone.point(NAME, target, 30)
    [own] = client.list_hosted_zones()["HostedZones"]
    record_sets = client.list_resource_record_sets(HostedZoneId=own["Id"])["ResourceRecordSets"]
    kinds = [
        (record_set["Type"], record_set["ResourceRecords"])
        for record_set in record_sets
        if record_set["Name"] == f"{NAME}."
    ]
    assert kinds == [("A", [{"Value": "198.19.0.50"}])]


def test_the_right_to_change_a_name_is_asked_for_without_a_change(zone: dns.Zone, client: Any) -> None:
    zone.rewrite(NAME)
    assert zone.answer(NAME) is None
    zone.point(NAME, "198.18.0.20", 30)
    before = zone.answer(NAME)
    zone.rewrite(NAME)
    assert zone.answer(NAME) == before


def test_a_name_that_may_be_read_and_not_changed_is_refused_before_it_is_needed(
    zone: dns.Zone, monkeypatch: pytest.MonkeyPatch
) -> None:
    zone.point(NAME, "198.18.0.20", 30)

    def refuse(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "not authorized"}}, "change")

    monkeypatch.setattr(zone._client, "change_resource_record_sets", refuse)
    with pytest.raises(OpsError, match=rf"^Route 53: cannot change {NAME}: AccessDenied: not authorized$"):
        zone.rewrite(NAME)


def test_a_neighbour_in_the_zone_is_not_taken_for_the_name(zone: dns.Zone) -> None:
    zone.point(f"zz.{ZONE}", "198.18.0.9", 30)
    assert zone.answer(NAME) is None


def test_an_answer_with_two_values_leads_to_neither() -> None:
    both = dns.Answer(kind="A", ttl_s=30, values=("198.18.0.20", "198.19.0.50"))
    assert not both.leads_to("198.18.0.20")


def test_a_name_with_a_routing_policy_is_left_alone() -> None:
    there = [{"Name": f"{NAME}.", "Type": "A", "SetIdentifier": "blue", "Weight": 1}]
    with pytest.raises(OpsError, match="has a routing policy"):
        dns.change(NAME, "198.18.0.20", 30, there)


def test_a_zone_that_is_not_there_is_told(client: Any, url: str) -> None:
    with dns.zone(access(url, "other.example.com")) as other, pytest.raises(OpsError, match="has 0 zones other"):
        other.answer(NAME)


def test_route_53_that_does_not_answer_is_one_line_without_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    gone = access(f"http://127.0.0.1:{free_port()}")
    with dns.zone(gone) as zone, pytest.raises(OpsError, match=r"^Route 53: cannot find the zone") as caught:
        zone.answer(NAME)
    assert KEYS[dns.SECRET] not in str(caught.value)
