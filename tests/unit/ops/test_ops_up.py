"""``obs up``: nothing before every check passed; records and pull secrets beside the update; what is left is said."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ops import config, up
from ops.__main__ import app
from ops.core import health, pulumi
from ops.core import platform as platform_module
from ops.core.errors import OpsError
from ops.core.kube import Kube
from ops.preflight import command as preflight
from ops.preflight.addresses import Record, missing_records, own_names, records_told
from ops.preflight.lines import Line, State, fail, ok, warn
from stacks.settings import Settings, parse
from tests.support import engine

HOSTS = {"kafka.example.com": "kafka-external-0", "otlp.example.com": "gateway"}


@pytest.fixture(scope="module")
def settings() -> Settings:
    return parse(engine.stack_settings("prod"), "Pulumi.prod.yaml")


def test_each_name_has_the_service_whose_load_balancer_is_rendered(settings: Settings) -> None:
    services = engine.recorded("prod").kinds("Service")
    balancers = [service["metadata"]["name"] for service in services if service["spec"]["type"] == "LoadBalancer"]
    assert sorted(own_names(settings).values()) == sorted(balancers)


@pytest.mark.parametrize(
    ("balancers", "known", "wanted"),
    [
        ({}, {}, []),
        ({"gateway": ""}, {}, []),
        ({"gateway": "192.0.2.1"}, {}, ["otlp.example.com A or AAAA 192.0.2.1"]),
        ({"gateway": "192.0.2.1"}, {"otlp.example.com": ["192.0.2.1"]}, []),
        (
            {"gateway": "192.0.2.1"},
            {"otlp.example.com": ["192.0.2.9"]},
            ["otlp.example.com A or AAAA 192.0.2.1 (now 192.0.2.9)"],
        ),
        ({"gateway": "lb.cloud"}, {"lb.cloud": ["192.0.2.1"]}, ["otlp.example.com CNAME lb.cloud"]),
        ({"gateway": "lb.cloud"}, {"lb.cloud": ["192.0.2.1"], "otlp.example.com": ["192.0.2.1"]}, []),
        ({"gateway": "lb.cloud"}, {"otlp.example.com": ["192.0.2.1"]}, []),
        (
            {"gateway": "192.0.2.1", "kafka-external-0": "2001:db8::1"},
            {},
            ["kafka.example.com A or AAAA 2001:db8::1", "otlp.example.com A or AAAA 192.0.2.1"],
        ),
    ],
)
def test_records_are_missing_where_a_load_balancer_is_there_and_its_name_leads_elsewhere(
    balancers: dict[str, str], known: dict[str, list[str]], wanted: list[str]
) -> None:
    assert [str(record) for record in missing_records(HOSTS, balancers, lambda host: known.get(host, []))] == wanted


@pytest.mark.parametrize(
    ("hosts", "balancers", "known", "wanted"),
    [
        (HOSTS, {}, {}, []),
        (HOSTS, {"gateway": ""}, {}, []),
        ({}, {"gateway": "192.0.2.1"}, {}, []),
        (
            HOSTS,
            {"gateway": "192.0.2.1", "kafka-external-0": "lb.cloud"},
            {"lb.cloud": ["192.0.2.2"], "otlp.example.com": ["192.0.2.9"]},
            [
                (
                    State.WARN,
                    "to make: kafka.example.com CNAME lb.cloud, otlp.example.com A or AAAA 192.0.2.1 (now 192.0.2.9)",
                )
            ],
        ),
        (
            HOSTS,
            {"gateway": "192.0.2.1"},
            {"otlp.example.com": ["192.0.2.1"]},
            [(State.OK, "names that lead to their load balancers: 1")],
        ),
    ],
)
def test_preflight_tells_the_records_to_make_once_load_balancers_have_addresses(
    hosts: dict[str, str],
    balancers: dict[str, str],
    known: dict[str, list[str]],
    wanted: list[tuple[State, str]],
) -> None:
    lines = records_told(hosts, balancers, lambda host: known.get(host, []))
    assert [(line.state, line.detail) for line in lines] == wanted


def test_a_login_that_this_machine_lacks_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "auth.json"
    entry = {"auth": base64.b64encode(b"reader:long").decode()}
    file.write_text(json.dumps({"auths": {"one.example.com": entry}}))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(file))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert json.loads(up.login_file(["one.example.com"])) == {"auths": {"one.example.com": entry}}
    with pytest.raises(OpsError, match=r"^--pull-secrets: this machine has no login at two\.example\.com: log in "):
        up.login_file(["one.example.com", "two.example.com"])


class Cluster:
    """A cluster whose namespace and load balancers come later."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.namespace_is_there, self.problem = False, ""
        self.secrets: dict[str, str] = {}
        self.found: dict[str, str] = {}
        monkeypatch.setattr(up, "apply_pull_secret", self._apply)

    def _apply(self, _: object, name: str, content: str) -> bool:
        if self.namespace_is_there:
            self.secrets[name] = content
        return self.namespace_is_there

    def balancers(self) -> dict[str, str]:
        if self.problem:
            raise OpsError(self.problem)
        return self.found

    def close(self) -> None:
        pass


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    return Cluster(monkeypatch)


@pytest.fixture
def follower(cluster: Cluster, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> up.Follower:
    monkeypatch.setattr(up, "resolved", lambda _: ())
    monkeypatch.setattr(up, "own_names", lambda _: HOSTS)
    kube: Any = cluster
    return up.Follower(kube, settings, {"pull": "content"})


def test_a_pull_secret_is_made_once_the_namespace_is_there(cluster: Cluster, follower: up.Follower) -> None:
    follower.look(0.0)
    assert follower.left() == "; the Secret pull was not made: there is no namespace"
    cluster.namespace_is_there = True
    follower.look(1.0)
    assert (cluster.secrets, dict(follower.waiting), follower.left()) == ({"pull": "content"}, {}, "")


def test_a_record_is_told_once_and_after_who_makes_it_by_itself_had_time(
    cluster: Cluster, follower: up.Follower, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.namespace_is_there, cluster.found = True, {"gateway": "192.0.2.1"}
    follower.look(0.0)
    follower.look(19.0)
    assert capsys.readouterr().err == ""
    follower.look(20.0)
    follower.look(30.0)
    assert capsys.readouterr().err == "DNS record to make: otlp.example.com A or AAAA 192.0.2.1\n"
    assert follower.left() == "; DNS records to make: otlp.example.com A or AAAA 192.0.2.1"


def test_a_cluster_that_does_not_answer_is_what_is_left(cluster: Cluster, follower: up.Follower) -> None:
    cluster.namespace_is_there, cluster.problem = True, "cannot list the Services of obs: no answer"
    follower.look(0.0)
    assert follower.left() == "; cannot list the Services of obs: no answer"


class Run:
    """The command with everything around it made up; keeps what was done, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, settings: Settings, cluster: Cluster) -> None:
        self.done: list[str] = []
        self.problems: list[str] = []
        self.lines: list[Line] = [ok("cluster", "answers"), warn("own names", "no address", "make records")]
        self.unhealthy: list[list[health.Line]] = []
        self.fails = ""
        self._cluster = cluster
        cluster.namespace_is_there = True
        chosen = config.Configuration(stack="prod", values={})
        kube: Any = cluster
        monkeypatch.setattr(config, "set_cluster", lambda **words: self.done.append(f"cluster {words['context']}"))
        monkeypatch.setattr(config, "of_stack", lambda _: chosen)
        monkeypatch.setattr(config, "problems", lambda _: self.problems)
        monkeypatch.setattr(up, "read", lambda *_: (settings, []))
        monkeypatch.setattr(preflight, "check", lambda _: self.lines)
        monkeypatch.setattr(Kube, "connect", classmethod(lambda *_, **__: kube))
        monkeypatch.setattr(Kube, "of", classmethod(lambda *_: kube))
        monkeypatch.setattr(pulumi, "preview_shown", lambda _: self.done.append("preview"))
        monkeypatch.setattr(pulumi, "up_shown", self._up)
        monkeypatch.setattr(platform_module, "load", lambda **_: SimpleNamespace())
        monkeypatch.setattr(up, "Context", lambda *_: SimpleContext())
        monkeypatch.setattr(health, "check", lambda _: self.unhealthy.pop(0) if self.unhealthy else [])
        monkeypatch.setattr(up, "_EVERY_S", 0.0)

    def _up(self, _: str, *, preview: bool) -> None:
        self.done.append(f"up{' after a look' if preview else ''}")
        if self.fails:
            raise OpsError(self.fails)

    def __call__(self, *words: str) -> Result:
        return CliRunner().invoke(app, ["up", *words])


class SimpleContext:
    """A platform's clients, of which none is used."""

    def __enter__(self) -> SimpleContext:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, settings: Settings, cluster: Cluster) -> Run:
    monkeypatch.setattr(up, "resolved", lambda _: ())
    monkeypatch.setattr(up, "own_names", lambda _: HOSTS)
    return Run(monkeypatch, settings, cluster)


def test_it_names_the_cluster_checks_updates_and_waits_until_all_is_healthy(run: Run) -> None:
    run.unhealthy = [[health.Line(name="kafka", healthy=False, detail="2 of 3 ready, 0 restarts")]]
    result = run("--context", "mine", "--yes")
    assert result.exit_code == 0, result.output
    assert run.done == ["cluster mine", "up after a look"]
    assert "warn  own names: no address: make records\n" in result.stderr
    assert "waiting for kafka (2 of 3 ready, 0 restarts)\n" in result.stderr
    assert "2 checks, none fails\n" in result.stdout
    assert "python -m ops open grafana" in result.stdout


def test_what_is_to_be_set_is_named_and_nothing_is_changed(run: Run) -> None:
    run.problems = ["settings.kafka: one", "observability:alertingSecrets: two"]
    result = run("--yes")
    assert result.stderr == "settings.kafka: one\nobservability:alertingSecrets: two\n"
    assert str(result.exception) == "Pulumi.prod.yaml: 2 to set, see above: nothing was changed"
    assert run.done == []


def test_a_check_that_fails_is_named_and_nothing_is_changed(run: Run) -> None:
    run.lines = [ok("cluster", "answers"), fail("cert-manager", "no kinds", "install it")]
    result = run("--yes")
    assert result.stderr == "fail  cert-manager: no kinds: install it\n"
    assert str(result.exception) == "the cluster lacks 1 of 2, see above: nothing was changed"
    assert run.done == []


def test_without_yes_it_shows_the_preview_and_asks(run: Run) -> None:
    assert str(run().exception) == "nobody can be asked here: give --yes"
    assert run.done == ["preview"]


def test_an_update_that_fails_says_which_records_are_missing(run: Run, cluster: Cluster) -> None:
    run.fails, cluster.found = "`pulumi up` failed: see above", {"gateway": "192.0.2.1"}
    assert str(run("--yes").exception) == (
        "`pulumi up` failed: see above; DNS records to make: otlp.example.com A or AAAA 192.0.2.1"
    )


def test_pull_secrets_are_made_only_where_the_settings_name_one(
    run: Run, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    told = str(run("--yes", "--pull-secrets").exception)
    assert told == "--pull-secrets: settings.images.pull_secrets names none; name one there, or leave this out"
    named = settings.model_copy(update={"images": settings.images.model_copy(update={"pull_secrets": ("pull",)})})
    monkeypatch.setattr(up, "read", lambda *_: (named, []))
    hosts: list[str] = []
    monkeypatch.setattr(up, "login_file", lambda wanted: hosts.extend(wanted) or "content")
    assert run("--yes", "--pull-secrets").exit_code == 0
    assert cluster.secrets == {"pull": "content"}
    assert hosts == [settings.images.registry.partition("/")[0]]


def test_records_have_a_name_a_kind_and_a_target() -> None:
    assert str(Record(host="a.example.com", target="b.example.com")) == "a.example.com CNAME b.example.com"
