"""K5 and P2: who must be refused is refused, on the live platform."""

from __future__ import annotations

import secrets

from ops.checks import probes
from ops.core.context import Context
from ops.core.kafka import ADMIN, TIMEOUT_SECONDS, errors
from ops.core.rows import Check, Finding, listed

_LISTENERS = {"SSL", "SASL_SSL"}


def k5(context: Context) -> Finding:
    """Listeners, users, ACLs; and clients that must be refused."""
    finding = Finding()
    platform, kafka = context.platform, context.kafka
    for broker, settings in kafka.broker_settings(kafka.brokers()).items():
        pairs = dict(entry.split(":", 1) for entry in settings["listener.security.protocol.map"].split(",") if entry)
        used = {entry.split(":", 1)[0] for entry in settings["listeners"].split(",")}
        plain = sorted(name for name in used if pairs.get(name, name) not in _LISTENERS)
        finding.expect(not plain, f"broker {broker} has listeners without TLS: {listed(plain)}")
        finding.expect(
            settings.get("authorizer.class.name", "").endswith("StandardAuthorizer"),
            f"broker {broker} has no authorizer",
        )
        finding.expect(
            settings.get("allow.everyone.if.no.acl.found", "false") != "true", f"broker {broker} allows by default"
        )
    with errors(f"Kafka ({platform.kafka_bootstrap}) does not list users and ACLs"):
        users = kafka.client.describe_user_scram_credentials(None).result(timeout=TIMEOUT_SECONDS)
        every = ADMIN.AclBindingFilter(
            ADMIN.ResourceType.ANY,
            None,
            ADMIN.ResourcePatternType.ANY,
            None,
            None,
            ADMIN.AclOperation.ANY,
            ADMIN.AclPermissionType.ANY,
        )
        acls = kafka.client.describe_acls(every).result(timeout=TIMEOUT_SECONDS)
    missing = set(platform.kafka_users) - set(users)
    finding.expect(not missing, f"no SCRAM user {listed(missing)}")
    weak = [
        name
        for name, user in users.items()
        if not all("512" in str(info.mechanism) for info in user.scram_credential_infos)
    ]
    finding.expect(not weak, f"not SCRAM-SHA-512: {listed(weak)}")
    wide = [acl for acl in acls if acl.principal in ("User:*", "*")]
    finding.expect(not wide, f"{len(wide)} ACLs are for everybody")
    probes.control(platform)
    reasons = probes.refusals(platform)
    let_in = [name for name, reason in reasons.items() if not reason]
    finding.expect(not let_in, f"let in: {listed(let_in)}")
    finding.figures.append(f"{len(reasons) - len(let_in)} of {len(reasons)} forbidden clients refused")
    finding.figures.append(f"{len(users)} SCRAM-SHA-512 users, {len(acls)} ACLs")
    finding.seen.extend(f"{name}: {reason.strip('_')}" for name, reason in reasons.items() if reason)
    return finding


def p2(context: Context) -> Finding:
    """Anonymous, wrong and foreign logins get 401; the right ones get 200."""
    finding = Finding()
    platform, web = context.platform, context.web
    replicas = platform.prometheus_replicas
    names = {f"prometheus-{replica}": context.prometheus_url(replica) for replica in replicas}
    names["thanos-query"] = platform.query_url
    readers = {f"prometheus-{replica}": platform.prometheus_credentials[replica].pair for replica in replicas}
    readers["thanos-query"] = platform.query_reader.pair
    scrapers = {name: login.pair for name, login in platform.scrape_credentials.items()}
    tried = 0
    for name, base in names.items():
        api = f"{base}/api/v1/query?query=1"
        user, password = readers[name]
        others = {pair for other, pair in scrapers.items() if other != name}
        wanted: dict[str, tuple[tuple[str, str] | None, str, int]] = {
            "anonymous query": (None, api, 401),
            "anonymous metrics": (None, f"{base}/metrics", 401),
            "wrong password": ((user, secrets.token_urlsafe(12)), api, 401),
            "reader": ((user, password), api, 200),
            "own scrape user": (scrapers[name], f"{base}/metrics", 200),
            **{f"scrape user {pair[0]}": (pair, f"{base}/metrics", 401) for pair in others},
        }
        for who, (auth, url, status) in wanted.items():
            tried += 1
            finding.expect_equal(f"{name} to {who}", web.status(url, auth), status)
    finding.figures.append(f"{tried} logins tried at {len(names)} servers")
    finding.seen.append(
        "anonymous, wrong password and every other target's scrape user got 401; reader and own scraper 200"
    )
    return finding


CHECKS: dict[str, Check] = {"K5": k5, "P2": p2}
