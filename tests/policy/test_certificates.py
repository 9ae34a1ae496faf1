"""Certificates: keys, lives, uses, names, and the authority."""

from __future__ import annotations

from typing import Any

import pytest

from policy.model import Resource
from tests.policy.fixtures_kubernetes import (
    GONE,
    authority,
    certificate,
    changed,
    deployment,
    k8s,
    platform,
    said,
    swapped,
    without,
)

RSA = "use one of 3072, 4096, 8192"
ECDSA = "use one of 256, 384, 521"
EARLY = "renew at least 7 days before the end, and not at once"
USES = "use only client auth, digital signature, key encipherment, server auth"
OWN = "mount a certificate of their own; its ca.crt is the authority's certificate"


def signer() -> Resource:
    """The authority's certificate."""
    return authority()[1]


@pytest.mark.parametrize(
    ("key", "where", "problem", "fix"),
    [
        ({"algorithm": GONE}, "algorithm", "algorithm is missing", "set it to ECDSA"),
        ({"algorithm": "DSA"}, "algorithm", 'algorithm is "DSA"', "set it to ECDSA"),
        ({"size": 128}, "size", "size is 128 for a key of ECDSA", ECDSA),
        ({"size": 1024}, "size", "size is 1024 for a key of ECDSA", ECDSA),
        ({"algorithm": "RSA", "size": 2048}, "size", "size is 2048 for a key of RSA", RSA),
        ({"algorithm": "RSA", "size": GONE}, "size", "size is missing for a key of RSA", RSA),
        ({"rotationPolicy": "Never"}, "rotationPolicy", 'rotationPolicy is "Never"', 'set it to "Always"'),
        ({"rotationPolicy": GONE}, "rotationPolicy", "rotationPolicy is missing", 'set it to "Always"'),
    ],
)
def test_a_weak_key_is_told(key: dict[str, Any], where: str, problem: str, fix: str) -> None:
    broken = certificate()
    for field, value in key.items():
        broken = changed(broken, f"spec/privateKey/{field}", value)
    assert said("certificate-key", broken) == [f"Certificate obs/query, spec.privateKey.{where}: {problem} -> {fix}"]


@pytest.mark.parametrize(("value", "state"), [(GONE, "is missing"), ("Always", 'is "Always"')])
def test_an_authority_keeps_its_key(value: Any, state: str) -> None:
    assert said("certificate-key", changed(signer(), "spec/privateKey/rotationPolicy", value)) == [
        f"Certificate obs/platform-ca, spec.privateKey.rotationPolicy: rotationPolicy of an authority {state}"
        ' -> set it to "Never" and change the key on purpose'
    ]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("duration", GONE, "duration: duration is missing -> set it to 2160h or less"),
        ("duration", "876000h", 'duration: duration is "876000h" -> set it to 2160h or less'),
        ("duration", "soon", 'duration: duration is "soon" -> set it to 2160h or less'),
        ("renewBefore", GONE, f"renewBefore: renewBefore is missing -> {EARLY}"),
        ("renewBefore", "1h", f'renewBefore: renewBefore is "1h" -> {EARLY}'),
        ("renewBefore", "2160h", f'renewBefore: renewBefore is "2160h" -> {EARLY}'),
    ],
)
def test_a_long_or_unrenewed_life_is_told(path: str, value: Any, message: str) -> None:
    assert said("certificate-life", changed(certificate(), f"spec/{path}", value)) == [
        f"Certificate obs/query, spec.{message}"
    ]


def test_an_authority_may_live_longer_but_not_for_ever() -> None:
    assert said("certificate-life", changed(signer(), "spec/duration", "876000h")) == [
        'Certificate obs/platform-ca, spec.duration: duration is "876000h" -> set it to 43848h or less'
    ]
    assert said("certificate-life", certificate(), most_days=30) == [
        'Certificate obs/query, spec.duration: duration is "2160h" -> set it to 720h or less'
    ]


@pytest.mark.parametrize(
    ("value", "state"),
    [
        (GONE, "is missing"),
        (["any"], 'is ["any"]'),
        (["server auth", "cert sign"], 'is ["server auth", "cert sign"]'),
    ],
)
def test_other_uses_are_told(value: Any, state: str) -> None:
    assert said("certificate-uses", changed(certificate(), "spec/usages", value)) == [
        f"Certificate obs/query, spec.usages: usages {state} -> {USES}"
    ]


def test_an_authority_serves_nobody() -> None:
    assert said("certificate-uses", changed(signer(), "spec/usages", ["cert sign", "server auth"])) == [
        'Certificate obs/platform-ca, spec.usages: usages is ["cert sign", "server auth"]'
        " -> use only cert sign, crl sign, digital signature"
    ]


@pytest.mark.parametrize("rule_id", ["certificate-key", "certificate-life", "certificate-uses"])
@pytest.mark.parametrize("resource", [certificate(), signer()])
def test_good_certificates_pass(rule_id: str, resource: Resource) -> None:
    assert said(rule_id, resource) == []


def test_a_second_authority_is_told() -> None:
    assert said("certificate-authority", swapped(platform(), changed(certificate(), "spec/isCA", True))) == [
        "Certificate obs/query, spec.isCA: it may sign certificates and no Issuer uses it -> remove isCA",
        "Deployment obs/query, spec.template.spec.volumes[2].secret.secretName: the pods get the key of the authority"
        f" (Secret query-tls) -> {OWN}",
    ]


def test_a_certificate_that_signs_itself_is_told() -> None:
    own = changed(certificate(), "spec/issuerRef/name", "bootstrap")
    assert said("certificate-authority", swapped(platform(), own)) == [
        "Certificate obs/query, spec.issuerRef.name: Issuer bootstrap lets it sign itself, so that nobody can verify it"
        " -> name the Issuer of the authority"
    ]


def test_an_issuer_that_nobody_makes_is_told() -> None:
    assert said("certificate-authority", without(platform(), "Issuer", "platform")) == [
        "Certificate obs/platform-ca, spec.isCA: it may sign certificates and no Issuer uses it -> remove isCA",
        "Certificate obs/query, spec.issuerRef.name: Issuer platform is not part of the stack"
        " -> name the Issuer of the authority",
    ]
    cluster = changed(certificate(), "spec/issuerRef", {"name": "company", "kind": "ClusterIssuer"})
    assert said("certificate-authority", swapped(platform(), cluster)) == []


def test_an_authority_that_nobody_makes_is_told() -> None:
    missing = without(platform(), "Certificate", "platform-ca")
    assert said("certificate-authority", missing) == [
        "Issuer obs/platform, spec.ca.secretName: it signs with Secret platform-ca, which is not part of the stack"
        " -> make the authority"
    ]
    assert said("certificate-authority", [*missing, k8s("core/v1:Secret", "platform-ca")]) == []


def test_pods_with_the_key_of_the_authority_are_told() -> None:
    holder = changed(deployment(), "spec/template/spec/volumes/1/secret/secretName", "platform-ca")
    assert said("certificate-authority", swapped(platform(), holder)) == [
        "Deployment obs/query, spec.template.spec.volumes[1].secret.secretName: the pods get the key of the authority"
        f" (Secret platform-ca) -> {OWN}"
    ]
    assert said("certificate-authority", platform()) == []


@pytest.mark.parametrize(
    "name",
    [
        "*.obs.svc.cluster.local",
        "*.query.obs.svc",
        "*",
        "*.query-headless.other.svc",
        "*.query-headless.obs.example.com",
    ],
)
def test_a_wide_name_is_told(name: str) -> None:
    assert said("certificate-names", swapped(platform(), changed(certificate(), "spec/dnsNames/1", name))) == [
        f'Certificate obs/query, spec.dnsNames[1]: the name "{name}" is not that of a headless Service of its own pods'
        " -> name the hosts one by one"
    ]


def test_names_of_the_own_headless_service_pass_and_those_of_others_do_not() -> None:
    assert said("certificate-names", platform()) == []
    elsewhere = changed(deployment(), "spec/template/spec/volumes/2/secret/secretName", "other-tls")
    assert said("certificate-names", swapped(platform(), elsewhere)) == [
        f'Certificate obs/query, spec.dnsNames[{index}]: the name "{name}" is not that of a headless Service of its own'
        " pods -> name the hosts one by one"
        for index, name in ((1, "*.query-headless.obs.svc.cluster.local"), (2, "*.query-headless"))
    ]
