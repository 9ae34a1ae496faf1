"""How the Grafana plugin reaches Grafana: its settings, its patience and what it says when that ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from lab.pulumi_host import grafana_client
from lab.pulumi_host.provider import UNKNOWN, ProviderError
from tests.config.pki import write_certificates
from tests.config.servers import free_port
from tests.support.provider import Engine
from tests.unit.lab.grafana_api_fake import GrafanaFake
from tests.unit.lab.grafana_plugin import failure, plugin_on

FOLDER = "grafana:oss/folder:Folder"
LAYER = {"title": "Layer", "uid": "layer"}
SETTINGS = {"url": "https://grafana.example.com:3000/", "auth": "admin:hunter2:x"}


@pytest.fixture
def stopping() -> threading.Event:
    return threading.Event()


@pytest.fixture
def engine(grafana: GrafanaFake, stopping: threading.Event) -> Iterator[Engine]:
    with plugin_on(grafana.settings(), stopping) as provider_engine:
        yield provider_engine


def test_settings_are_read_as_the_sdk_hands_them_over() -> None:
    connection = grafana_client.connection(
        {**SETTINGS, "retries": "4", "retryWait": "7", "insecureSkipVerify": "false"}
    )
    assert (connection.url, connection.login) == ("https://grafana.example.com:3000", ("admin", "hunter2:x"))
    assert (connection.retries, connection.retry_wait_s) == (4, 7)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({**SETTINGS, "insecureSkipVerify": "true"}, "insecureSkipVerify is refused: give the certificate's authority"),
        ({**SETTINGS, "url": "http://grafana:3000"}, "url is http://grafana:3000; it must be like"),
        ({**SETTINGS, "url": "https://u:p@grafana"}, "it must be like"),
        ({**SETTINGS, "url": "https://grafana:x"}, "it must be like"),
        ({**SETTINGS, "auth": "a-token"}, 'auth must be like "user:password"'),
        ({**SETTINGS, "caCert": "/nowhere/ca.crt"}, "caCert is neither a file"),
        ({**SETTINGS, "caCert": "-----BEGIN CERTIFICATE-----"}, "caCert is neither a file"),
        ({**SETTINGS, "retries": "-1"}, "retries is -1; it must be a whole number"),
        ({**SETTINGS, "orgId": "2"}, "orgId must be 1"),
        ({**SETTINGS, "smUrl": "x"}, "smUrl is not supported by the lab's plugin; allowed: auth, caCert"),
    ],
)
def test_a_wrong_setting_is_told_in_one_line_when_the_plugin_is_configured(
    engine: Engine, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        engine.configure(settings, ("auth",))
    assert message in failure(caught)
    assert "\n" not in failure(caught)
    assert "hunter2" not in failure(caught)
    assert "a-token" not in failure(caught)


@pytest.mark.parametrize("missing", ["url", "auth"])
def test_a_missing_setting_is_told_when_it_is_needed(missing: str) -> None:
    with pytest.raises(ProviderError, match=f"{missing} is required"):
        grafana_client.connection({key: value for key, value in SETTINGS.items() if key != missing})


def test_a_preview_with_an_address_that_is_not_known_yet_asks_nobody(engine: Engine, grafana: GrafanaFake) -> None:
    engine.configure(grafana.settings(url=UNKNOWN, auth=UNKNOWN, caCert=UNKNOWN))
    assert engine.check(FOLDER, LAYER).inputs["uid"] == "layer"
    assert engine.create(FOLDER, LAYER, preview=True)[0] == ""
    assert engine.update(FOLDER, "1:layer", LAYER, {**LAYER, "title": "New"}, preview=True)["title"] == "New"
    assert grafana.requests == []


def test_what_needs_grafana_says_which_setting_is_not_known_yet(engine: Engine, grafana: GrafanaFake) -> None:
    engine.configure(grafana.settings(url=UNKNOWN))
    with pytest.raises(grpc.RpcError) as caught:
        engine.read(FOLDER, "1:layer", LAYER, LAYER)
    assert failure(caught) == "grafana provider: url not known yet, so Grafana cannot be asked"


@pytest.mark.parametrize("as_text", [True, False])
def test_the_authority_is_a_file_or_its_content(engine: Engine, grafana: GrafanaFake, as_text: bool) -> None:
    authority = Path(grafana.authority).read_text() if as_text else grafana.authority
    engine.configure(grafana.settings(caCert=authority))
    assert engine.create(FOLDER, LAYER)[0] == "1:layer"


def test_another_authority_is_not_trusted_and_is_not_tried_twice(
    engine: Engine, grafana: GrafanaFake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    write_certificates(tmp_path / "other")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", grafana.authority)
    engine.configure(grafana.settings(caCert=str(tmp_path / "other" / "ca.crt")))
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(FOLDER, LAYER)
    assert "CERTIFICATE_VERIFY_FAILED" in failure(caught)
    assert "Check url and caCert" in failure(caught)


def test_without_an_authority_the_machine_s_own_are_trusted_and_no_other(engine: Engine, grafana: GrafanaFake) -> None:
    engine.configure({key: value for key, value in grafana.settings().items() if key != "caCert"})
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(FOLDER, LAYER)
    assert "CERTIFICATE_VERIFY_FAILED" in failure(caught)


def test_neither_proxies_nor_bundles_of_the_environment_count(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "missing"))
    assert engine.create(FOLDER, LAYER)[0] == "1:layer"


def test_a_restart_is_waited_for(engine: Engine, grafana: GrafanaFake, capfd: pytest.CaptureFixture[str]) -> None:
    grafana.refuse_next = [503, 502]
    engine.create(FOLDER, LAYER, secrets=("title",))
    assert list(grafana.folders) == ["layer"]
    shown = capfd.readouterr()
    assert "grafana: create folder layer: waiting for Grafana: 503 restarting" in shown.err
    assert "hunter2" not in shown.out + shown.err


def test_the_waiting_ends_after_the_retries(engine: Engine, grafana: GrafanaFake) -> None:
    grafana.refuse_next = [503] * 50
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(FOLDER, LAYER)
    assert "grafana: create folder layer: 503 restarting; tried 4 times. Check url of the provider" in failure(caught)
    assert len(grafana.requests) == 4


def test_the_waiting_ends_at_the_time_limit_however_many_retries_there_are(
    engine: Engine, grafana: GrafanaFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grafana_client, "_LIMIT_S", 0.5)
    engine.configure(grafana.settings(retries="1000000"))
    grafana.refuse_next = [503] * 5000
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(FOLDER, LAYER)
    assert "503 restarting; tried" in failure(caught)


def test_nobody_there_is_told_with_the_address_to_check(engine: Engine, grafana: GrafanaFake) -> None:
    engine.configure(grafana.settings(url=f"https://localhost:{free_port()}", retries="1"))
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(FOLDER, LAYER)
    assert "ConnectionRefusedError" in failure(caught)
    assert "tried 2 times. Check url of the provider" in failure(caught)


def test_a_cancelled_wait_ends_at_once(engine: Engine, grafana: GrafanaFake, stopping: threading.Event) -> None:
    engine.configure(grafana.settings(retryWait="60"))
    grafana.refuse_next = [503] * 50
    stopping.set()
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(FOLDER, LAYER)
    assert failure(caught).endswith("cancelled")
    assert len(grafana.requests) == 1


def test_a_refused_login_is_not_repeated_and_points_at_the_setting(engine: Engine, grafana: GrafanaFake) -> None:
    engine.configure(grafana.settings(auth="admin:wrong-one"), ("auth",))
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(FOLDER, LAYER)
    said = "grafana: create folder layer: 401 Invalid username or password. Check auth of the provider"
    assert failure(caught) == said
    assert len(grafana.requests) == 1


def test_a_wrong_password_is_tried_once_however_many_resources_there_are(engine: Engine, grafana: GrafanaFake) -> None:
    engine.configure(grafana.settings(auth="admin:wrong-one"))

    def create(number: int) -> str:
        with pytest.raises(grpc.RpcError) as caught:
            engine.create(FOLDER, {"title": "x", "uid": f"f{number}"})
        return failure(caught)

    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(create, range(12)))
    assert all("401 Invalid username or password. Check auth of the provider" in line for line in said)
    assert len(grafana.requests) == 1


def test_a_changed_password_is_taken_up_by_the_same_plugin(engine: Engine, grafana: GrafanaFake) -> None:
    engine.configure(grafana.settings(auth="admin:wrong-one"))
    engine.configure(grafana.settings())
    assert engine.create(FOLDER, LAYER)[0] == "1:layer"


def test_an_answer_that_is_no_json_is_told_on_one_short_line(engine: Engine, grafana: GrafanaFake) -> None:
    grafana.words = "<html>\n<p>teapot</p>\n" + "x" * 5000
    grafana.refuse_next = [418]
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(FOLDER, LAYER)
    assert failure(caught).startswith("grafana: create folder layer: 418 <html> <p>teapot</p>")
    assert "\n" not in failure(caught)
    assert len(failure(caught)) < 400


def test_something_that_is_no_grafana_is_told_from_one(engine: Engine, grafana: GrafanaFake) -> None:
    grafana.words = "<html>welcome</html>"
    grafana.refuse_next = [200]
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(FOLDER, LAYER)
    assert "200 <html>welcome</html>, which is no JSON: is it a Grafana? Check url of the provider" in failure(caught)


def test_a_redirection_is_not_followed(engine: Engine, grafana: GrafanaFake) -> None:
    grafana.refuse_next = [302]
    with pytest.raises(grpc.RpcError) as caught:
        engine.create(FOLDER, LAYER)
    assert failure(caught) == "grafana: create folder layer: 302 restarting"


def test_the_plugin_says_what_it_has(engine: Engine) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        engine.create("grafana:oss/playlist:Playlist", {})
    assert "grafana:oss/playlist:Playlist is not offered" in failure(caught)
    assert FOLDER in failure(caught)
