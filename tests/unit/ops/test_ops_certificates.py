"""Who still shows a certificate that was renewed since it was read, and the roll of those."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from components.k8s.workload import AT_START, CERTIFICATE_READ
from ops.core.errors import OpsError
from ops.core.kube import Kube
from ops.maintenance import certificates
from ops.maintenance.certificates import MOUNTED_S, readers, roll

ISSUED = datetime(2026, 11, 26, 6, 0, tzinfo=UTC)
NAMESPACE = "obs"


def certificate(name: str, issued: datetime | None = ISSUED) -> dict[str, Any]:
    moments = {"notBefore": f"{issued:%Y-%m-%dT%H:%M:%SZ}", "notAfter": "2027-02-24T06:00:00Z"} if issued else {}
    return {"metadata": {"name": name}, "spec": {"secretName": f"{name}-tls"}, "status": moments}


def pod(
    workload: str, made_s: float, *read_s: float | None, kind: str = "StatefulSet", reads: str = AT_START
) -> SimpleNamespace:
    """A pod made, and containers started, so many seconds after the certificate was issued; None is not started."""

    def state(after: float | None) -> SimpleNamespace:
        running = None if after is None else SimpleNamespace(started_at=ISSUED + timedelta(seconds=after))
        return SimpleNamespace(state=SimpleNamespace(running=running))

    return SimpleNamespace(
        metadata=SimpleNamespace(
            name=f"{workload}-0",
            annotations={CERTIFICATE_READ: reads},
            labels={"app.kubernetes.io/name": workload},
            owner_references=[SimpleNamespace(kind=kind)],
            creation_timestamp=ISSUED + timedelta(seconds=made_s),
            deletion_timestamp=None,
        ),
        spec=SimpleNamespace(
            volumes=[
                SimpleNamespace(secret=None),
                SimpleNamespace(secret=SimpleNamespace(secret_name=f"{workload}-tls")),
            ]
        ),
        status=SimpleNamespace(phase="Running", container_statuses=[state(seconds) for seconds in read_s]),
    )


class Cluster(Kube):
    """Pods that read again when their workload is rolled."""

    def __init__(self, *pods: SimpleNamespace, broken: str = "") -> None:
        self.namespace, self._pods, self._broken = NAMESPACE, list(pods), broken
        self.restarted: list[tuple[str, str]] = []
        listing = SimpleNamespace(items=self._pods)
        self.core = SimpleNamespace(api_client=None, list_namespaced_pod=lambda *_, **__: listing)

    def restart(self, workload: str, stamp: str, kind: str = "StatefulSet") -> None:
        assert datetime.fromisoformat(stamp).tzinfo is UTC
        self.restarted.append((workload, kind))
        again = ISSUED + timedelta(hours=1)
        for fake_pod in self._pods:
            if fake_pod.metadata.name == f"{workload}-0":
                fake_pod.metadata.creation_timestamp = again
                for status in fake_pod.status.container_statuses:
                    status.state.running = SimpleNamespace(started_at=again)

    def rolled(self, workload: str, kind: str = "StatefulSet") -> bool:
        return workload != self._broken


@pytest.fixture(autouse=True)
def issued(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    manifests = [certificate("kafka"), certificate("jaeger-query-public"), certificate("gateway")]
    manifests.append(certificate("jaeger-query-confidential"))

    def listed(group: str, version: str, namespace: str, plural: str, **_: Any) -> dict[str, Any]:
        assert (group, version, namespace, plural) == ("cert-manager.io", "v1", NAMESPACE, "certificates")
        return {"items": manifests}

    api = SimpleNamespace(list_namespaced_custom_object=listed)
    monkeypatch.setattr(certificates.client, "CustomObjectsApi", lambda _: api)
    return manifests


@pytest.mark.parametrize(
    ("made_s", "read_s", "late"),
    [
        (-3600, (-3590,), True),
        (-3600, (10,), True),
        (-3600, (MOUNTED_S - 1,), True),
        (-3600, (MOUNTED_S,), False),
        (-3600, (MOUNTED_S, -10), True),
        (0, (0,), False),
        (5, (8, 9), False),
        (5, (None,), False),
        (-3600, (None,), True),
    ],
)
def test_a_pod_is_late_that_read_before_it_had_the_new_one(
    made_s: float, read_s: tuple[float | None, ...], late: bool
) -> None:
    (reader,) = readers(Cluster(pod("kafka", made_s, *read_s)))
    assert (reader.workload, reader.certificate, reader.issued) == ("kafka", "kafka", ISSUED)
    assert reader.late is late


@pytest.mark.parametrize(("revision", "late"), [(1, False), (2, True), (None, True)])
def test_a_pod_that_was_made_before_its_first_certificate_waited_for_it(
    issued: list[dict[str, Any]], revision: int | None, late: bool
) -> None:
    issued[0]["status"] |= {"revision": revision} if revision else {}
    (reader,) = readers(Cluster(pod("kafka", -1, 30)))
    assert reader.late is late


def test_only_those_are_looked_at_that_read_at_the_start() -> None:
    assert readers(Cluster(pod("gateway", -10, -5, reads="again"))) == []


def test_a_pod_that_is_about_to_end_is_not_waited_for() -> None:
    ending = pod("kafka", -10, -5)
    ending.metadata.deletion_timestamp = ISSUED
    assert readers(Cluster(ending)) == []


def test_late_workloads_are_rolled_one_after_the_other_and_others_are_not() -> None:
    said: list[str] = []
    cluster = Cluster(
        pod("kafka", -10, -5), pod("jaeger-query-public", -10, -5, kind="ReplicaSet"), pod("gateway", 5, 6)
    )
    assert roll(cluster, said.append) == ["jaeger-query-public", "kafka"]
    assert cluster.restarted == [("jaeger-query-public", "Deployment"), ("kafka", "StatefulSet")]
    assert [line.split(",")[0] for line in said[::2]] == ["rolling jaeger-query-public", "rolling kafka"]
    assert roll(cluster, said.append) == []
    assert len(cluster.restarted) == 2


def test_workloads_and_their_state_have_room_in_eighty_columns(capsys: pytest.CaptureFixture[str]) -> None:
    name = "jaeger-query-confidential"
    cluster = Cluster(pod(name, -10, -5, kind="ReplicaSet"), pod("kafka", 5, 6))
    Console(width=80).print(certificates._table(readers(cluster)))
    shown = capsys.readouterr().out
    assert f"│ {name} │ 11-26 06:00:00 │ 11-26 05:59:55 │ 1 of 1 old │" in shown
    assert "│ 1 newest   │" in shown


def test_what_is_not_whole_is_not_rolled() -> None:
    cluster = Cluster(pod("jaeger-query-public", -10, -5, kind="ReplicaSet"), pod("kafka", -10, -5), broken="kafka")
    with pytest.raises(OpsError, match=r"kafka is not whole.*rolled so far: jaeger-query-public"):
        roll(cluster, lambda _: None)
    assert cluster.restarted == [("jaeger-query-public", "Deployment")]


def test_a_certificate_that_was_never_issued_is_named(issued: list[dict[str, Any]]) -> None:
    issued[0] = certificate("kafka", None)
    with pytest.raises(OpsError, match="kafka-0 has no certificate that was issued"):
        readers(Cluster(pod("kafka", -10, -5)))
