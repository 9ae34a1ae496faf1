"""The whole of ``ops failover``: interrupted at the promotion, repeated, ended; the old region is never called.

Real are the broker, Prometheus (its own receiver of OTLP in the gateway's place), Alertmanagers, failover agent, object
storage and Pulumi's configuration; Route 53 is moto, and `pulumi up` is a script that is asked for it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from components.telemetry.layers import LAYERS
from lab.toolchain import tools
from ops import __main__ as cli
from ops.core import pulumi
from ops.core.errors import OpsError
from ops.core.platform import Platform, parse
from ops.regions import dns
from services.regions import FAILOVER_AGENT
from services.regions.witness import Heartbeat, region_key
from tests.config import alertmanager_process, failover_agent_process, prometheus_process
from tests.config.failover_agent_process import Harness, agent_silences
from tests.config.servers import eventually
from tests.config.storage_process import storage_process
from tests.config.test_regions_silence_handover import outputs
from tests.support import kafka_broker
from tests.unit.ops import regions_harness
from tests.unit.ops.regions_harness import FINGERPRINTS, KEY, NAME, SECRET, TOPICS, ZONE, A, B

pytestmark = pytest.mark.timed


@dataclass
class Region:
    """Region B, whose other region was lost."""

    agents: Harness
    platform: Platform
    outside: regions_harness.Harness
    folder: Path

    @property
    def role(self) -> object:
        """Role in the stack's file."""
        content = yaml.safe_load((self.folder / "Pulumi.b.yaml").read_text()) or {}
        return content.get("config", {}).get(pulumi.ROLE_KEY)


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    with ExitStack() as stack:
        both = stack.enter_context(alertmanager_process.pair(tmp_path_factory.mktemp("pair")))
        storage = stack.enter_context(storage_process(tmp_path_factory.mktemp("storage") / "new"))
        broker = stack.enter_context(kafka_broker.running(tmp_path_factory.mktemp("broker")))
        outside = stack.enter_context(regions_harness.harness())
        metrics = tmp_path_factory.mktemp("prometheus")
        # One authority for both, as in a stack: two of the same name would be taken for each other.
        for name in ("ca.crt", "tls.crt", "tls.key"):
            shutil.copy(both.folder / name, metrics)
        prometheus_process.write_files(metrics)
        _scrape_itself(metrics)
        prometheus = stack.enter_context(prometheus_process.prometheus_process(metrics))
        (metrics / "itself.json").write_text(json.dumps([{"targets": [f"localhost:{prometheus.port}"]}]))
        eventually(lambda: bool(prometheus.series("up == 1")), 20, "Prometheus scrapes itself")
        harness = stack.enter_context(failover_agent_process.harness(both, storage))
        base = outputs(broker, both, storage)
        reader = {"username": "reader", "password": prometheus_process.USERS["reader"]}
        platform = parse(
            {
                **base,
                "otlp_http": f"{prometheus.url}/api/v1/otlp",
                "otlp_credentials": {LAYERS[0].name: reader},
                "query_url": prometheus.url,
                "query_reader": reader,
                "topics": list(TOPICS),
                "regions": {
                    **base["regions"],
                    "dns": {"zone": ZONE, "names": {"otlp": NAME}, "ttl_s": 1, "endpoint": outside.url},
                    "targets": {"otlp": "localhost"},
                    "fingerprints": FINGERPRINTS,
                    "mirror": {"source": A, "topics": list(TOPICS), "groups": []},
                },
            }
        )
        broker.create_topics(TOPICS, 2, **{"min.insync.replicas": "1"})
        harness.lease(A)
        harness.agent(region=B, peer=A, role="standby", fingerprints=FINGERPRINTS)
        harness.until(True, 20, "region B is silent while A has the lease")
        yield Region(harness, platform, outside, tmp_path_factory.mktemp("project"))


def _scrape_itself(folder: Path) -> None:
    """Let Prometheus scrape whatever ``itself.json`` names."""
    file = folder / "prometheus.yml"
    config = yaml.safe_load(file.read_text())
    config["scrape_configs"] = [
        *(config.get("scrape_configs") or []),
        {
            "job_name": "itself",
            "scheme": "https",
            "scrape_interval": "1s",
            "scrape_timeout": "1s",
            "tls_config": {"ca_file": str(folder / "ca.crt"), "server_name": "localhost"},
            "basic_auth": {"username": "reader", "password": prometheus_process.USERS["reader"]},
            "file_sd_configs": [{"files": [str(folder / "itself.json")], "refresh_interval": "1s"}],
        },
    ]
    file.write_text(yaml.safe_dump(config))


@pytest.fixture
def run(region: Region, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The command line on the machine of an operator who has B's stack."""
    folder = region.folder
    (folder / "backend").mkdir(exist_ok=True)
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump({"name": "obs-platform", "runtime": "python"}))
    for name, value in {
        "PATH": f"{tools.path('pulumi').parent}{os.pathsep}/usr/bin:/bin",
        "PULUMI_HOME": str(folder / "home"),
        "PULUMI_BACKEND_URL": f"file://{folder / 'backend'}",
        "PULUMI_CONFIG_PASSPHRASE": "not-a-secret",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_STACK": "b",
        "PULUMI_OPTION_CWD": str(folder),
        dns.KEY: KEY,
        dns.SECRET: SECRET,
    }.items():
        monkeypatch.setenv(name, value)
    if not (folder / "Pulumi.b.yaml").exists():
        pulumi._run(["pulumi", "stack", "init", "b"], "pulumi stack init", 60, "", folder)
        pulumi.set_role("standby")
    monkeypatch.setattr("ops.core.platform.load", lambda stack="": region.platform)

    def call(up: str, *words: str) -> Result:
        monkeypatch.setenv(pulumi.COMMAND, up)
        result = CliRunner().invoke(cli.app, ["failover", "--to", B, *words])
        if isinstance(result.exception, OpsError):
            raise result.exception
        return result

    return call


def lost(region: Region) -> None:
    """Region A gave its last sign of life 40 s ago."""
    beat = Heartbeat(
        region=A,
        role="primary",
        at=datetime.now(UTC) - timedelta(seconds=40),
        epoch=1,
        holder=A,
        notifies=True,
        isolated=False,
        fingerprints={**FINGERPRINTS, "rules": "older"},
        silences=(),
    )
    region.agents.witness.beat(beat)
    region.agents.storage.age(region_key(A), 40)


def test_a_failover_that_was_interrupted_is_ended_by_the_same_command(
    region: Region, run: Callable[..., Result], tmp_path: Path
) -> None:
    lost(region)
    shown = run("false", "--dry-run")
    assert shown.exit_code == 0, shown.output
    assert f"ok  names: {NAME} may be changed" in shown.stdout
    assert "ok  kafka: 6 partitions online and in sync" in shown.stdout
    assert "bad parity: rules differ between region-b and region-a" in shown.stdout
    assert (region.role, region.agents.silent()) == ("standby", [True, True])

    with pytest.raises(OpsError, match=r"^promote: `false` failed: no reason given: all that it said is in .*goes on"):
        run("false", "--yes", "--folder", str(tmp_path))
    assert region.agents.silent() == [False, False], "on-call is notified, although the stack was not brought up"
    assert region.role == "primary"
    epoch = region.agents.witness.lease()
    assert epoch is not None
    assert (epoch[0].holder, epoch[0].epoch, epoch[0].notify) == (B, 2, True)

    counted = region.folder / "ups"
    result = run(f"sh -c 'echo $PULUMI_STACK >> {counted}'", "--yes", "--json", "--folder", str(tmp_path))
    assert result.exit_code == 0, result.output
    assert counted.read_text() == "b\n"
    assert region.agents.witness.lease() == epoch, "nothing of the lease is done twice"
    told = [line for line in result.stderr.splitlines() if line.endswith("done already")]
    assert [line.partition(":")[0] for line in told] == [
        "check",
        "offsets",
        "fence",
        "silence-handover",
        "notify",
        "dns",
        "probe",
    ]
    document = json.loads(result.stdout)
    print(json.dumps(document["figures"]), {name: step["seconds"] for name, step in document["steps"].items()})
    assert document["figures"]["rto_s"] >= 40
    assert document["steps"]["offsets"]["figures"]["offsets"].keys() == set(TOPICS)
    assert any("rules differ" in problem for problem in document["problems"])
    assert any("gives no sign of life since" in problem for problem in document["problems"])
    assert {file.suffix for file in tmp_path.iterdir()} == {".md", ".json"}
    with dns.zone(region.platform.regions.dns) as zone:  # type: ignore[union-attr,arg-type]
        answer = zone.answer(NAME)
    assert answer is not None
    assert answer.leads_to("localhost")
    assert all(not agent_silences(member) for member in region.agents.pair.members)
    assert region.agents.pair.members[0].silences() == set(), f"no silence of {FAILOVER_AGENT} is left"

    with pytest.raises(OpsError, match=r"^region-b holds the lease already, epoch 2: there is nothing to do$"):
        run("false", "--yes", "--folder", str(tmp_path))
