"""The metrics API of the embedded cluster: TLS is verified both ways, and the API server may speak for users."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from cryptography import x509

from lab import LabError
from lab.cluster import autoscaling, node
from lab.cluster.network import FIRST
from lab.paths import LabPaths

FILES = {"ca.crt": b"authority", "tls.crt": b"certificate", "tls.key": b"key"}


def test_the_api_server_checks_the_certificate_that_the_node_makes_for_the_service(tmp_path: Path) -> None:
    node.create(tmp_path / "pki", FIRST)
    objects = {item["kind"]: item for item in autoscaling.metrics_api_objects(FILES)}
    api, service = objects["APIService"]["spec"], objects["Service"]["metadata"]
    assert "insecureSkipTLSVerify" not in api
    assert base64.b64decode(api["caBundle"]) == FILES["ca.crt"]
    certificate = x509.load_pem_x509_certificate((tmp_path / "pki" / f"{autoscaling.METRICS_NAME}.crt").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [f"{service['name']}.{service['namespace']}.svc"]


def test_the_kubelets_certificate_is_checked() -> None:
    [pod] = [
        item["spec"]["template"]["spec"]
        for item in autoscaling.metrics_api_objects(FILES)
        if item["kind"] == "Deployment"
    ]
    arguments = pod["containers"][0]["args"]
    assert not [argument for argument in arguments if "insecure" in argument]
    mount = pod["containers"][0]["volumeMounts"][0]["mountPath"]
    assert f"--kubelet-certificate-authority={mount}/ca.crt" in arguments


def test_only_the_api_server_may_say_who_a_user_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node.tools, "path", lambda program: Path("/bin") / program)
    monkeypatch.setattr(node, "on_path", lambda program, package: f"/bin/{program}")
    monkeypatch.setenv("OBS_STATE", str(tmp_path))
    paths = LabPaths("none")
    node.create(paths.state / "pki", FIRST)
    [server] = [part for part in node.daemons(paths, "/none") if part.name == "kube-apiserver"]
    flags = dict(word.split("=", 1) for word in server.command if word.startswith("--"))
    proxy = x509.load_pem_x509_certificate(Path(flags["--proxy-client-cert-file"]).read_bytes())
    [name] = proxy.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    assert flags["--requestheader-allowed-names"] == name.value
    others = [identity.common_name for identity in node.identities(FIRST.node) if identity.file != "front-proxy"]
    assert name.value not in others


def test_a_node_of_an_older_checkout_is_told_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OBS_STATE", str(tmp_path))
    monkeypatch.setattr(autoscaling, "module_folder", lambda module, version: tmp_path)
    with pytest.raises(LabError, match="run `make down` first"):
        autoscaling.apply_metrics_api(LabPaths("none"))
