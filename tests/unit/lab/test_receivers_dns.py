"""The fake of Route 53: boto3 against moto behind a check of signatures, over verified TLS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lab.fakes.receivers.__main__ import application
from lab.fakes.receivers.aws import Dns, Name, Signatures
from lab.fakes.receivers.record import Record
from services.runtime.https import HttpsServer
from tests.config.pki import write_certificates
from tests.unit.lab.route53 import lead, leads_to, route53, zone_id

ZONE, NAME = "obs.example.com", "otlp.obs.example.com"
FIRST = Name(name=NAME, values=("198.18.0.20",))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki")
    write_certificates(folder)
    return folder


@pytest.fixture
def base(tmp_path: Path, certificates: Path) -> Iterator[str]:
    """Address of the fakes, with a zone."""
    dns = Dns(ZONE, [FIRST], Signatures("AKIAX", "secret", service="route53"), tmp_path / "records.json")
    web = application(Record(), dns=dns)
    server = HttpsServer("127.0.0.1", 0, certificates / "tls.crt", certificates / "tls.key", web)
    server.start()
    yield f"https://localhost:{server.server_port}"
    server.stop()


@pytest.fixture
def client(base: str, certificates: Path) -> Iterator[Any]:
    with route53(base, certificates / "ca.crt", "AKIAX", "secret") as route53_client:
        yield route53_client


def test_a_name_is_led_elsewhere_and_read_back(client: Any) -> None:
    assert leads_to(client) == {f"{NAME}.": ["198.18.0.20"]}
    change = lead(client, NAME, "198.19.0.50")
    assert client.get_change(Id=change)["ChangeInfo"]["Status"] == "INSYNC"
    assert leads_to(client) == {f"{NAME}.": ["198.19.0.50"]}


def test_a_restart_forgets_no_record_and_a_first_start_has_the_first_ones(client: Any, tmp_path: Path) -> None:
    assert not (tmp_path / "records.json").exists()
    lead(client, NAME, "198.18.0.20", action="DELETE")
    lead(client, NAME, "gateway.example.net", "CNAME")
    again = Dns(ZONE, [FIRST], None, tmp_path / "records.json")
    assert again.names() == [Name(name=NAME, type="CNAME", ttl_s=5, values=("gateway.example.net",))]
    assert Dns(ZONE, [FIRST], None, None).names() == [FIRST]


def test_the_key_may_change_records_of_its_zone_and_nothing_else(client: Any) -> None:
    identity = zone_id(client)
    for forbidden in (
        lambda: client.create_hosted_zone(Name="mine.example.com", CallerReference="1"),
        lambda: client.delete_hosted_zone(Id=identity),
        client.list_health_checks,
        lambda: client.change_resource_record_sets(
            HostedZoneId="ZOFOTHERS",
            ChangeBatch={"Changes": [{"Action": "DELETE", "ResourceRecordSet": {"Name": NAME, "Type": "A"}}]},
        ),
    ):
        with pytest.raises(ClientError) as refused:
            forbidden()
        assert refused.value.response["Error"]["Code"] == "AccessDenied"
    assert leads_to(client) == {f"{NAME}.": ["198.18.0.20"]}


@pytest.mark.parametrize(
    ("key", "secret", "code"),
    [("AKIAX", "other", "SignatureDoesNotMatch"), ("AKIAOTHER", "secret", "InvalidClientTokenId")],
)
def test_another_key_and_a_wrong_secret_are_refused(
    base: str, certificates: Path, key: str, secret: str, code: str
) -> None:
    with route53(base, certificates / "ca.crt", key, secret) as stranger, pytest.raises(ClientError) as refused:
        stranger.list_hosted_zones()
    assert refused.value.response["Error"]["Code"] == code


def test_what_route_53_refuses_changes_nothing(client: Any, tmp_path: Path) -> None:
    for value, action in (("198.18.0.20", "CREATE"), ("198.18.0.99", "DELETE")):
        with pytest.raises(ClientError) as refused:
            lead(client, NAME, value, action=action)
        assert refused.value.response["Error"]["Code"] in ("InvalidChangeBatch", "InvalidInput")
    assert leads_to(client) == {f"{NAME}.": ["198.18.0.20"]}
    assert not (tmp_path / "records.json").exists()


def test_ops_moves_a_name_in_it(base: str, certificates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ops.core.access import Dns as Place
    from ops.regions import dns

    monkeypatch.setenv(dns.KEY, "AKIAX")
    monkeypatch.setenv(dns.SECRET, "secret")
    monkeypatch.setenv(dns.AUTHORITY, str(certificates / "ca.crt"))
    place = Place(zone=ZONE, names={"otlp": NAME}, ttl_s=5, endpoint=f"{base}/")
    with dns.zone(place) as zone:
        assert zone.point(NAME, "198.19.0.50", 5).leads_to("198.19.0.50")
        assert zone.point(NAME, "gateway.example.net", 5).leads_to("gateway.example.net")
