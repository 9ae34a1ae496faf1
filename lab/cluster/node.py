"""The embedded node: certificates and kubeconfigs of its control plane, and its processes, with their configuration as
data and their commands in the order of starting.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lab import LabError, registry
from lab.cluster.network import (
    API_PORT,
    AUDIT_SERVICE,
    DNS_SERVICE,
    ETCD_PORT,
    KUBERNETES_SERVICE,
    MAX_PODS,
    NODE_NAME,
    NODE_POD_CIDR,
    NODE_POD_PREFIX,
    POD_CIDR,
    SERVICE_CIDR,
    Daemon,
    EmbeddedCluster,
    cluster_of,
    enter,
)
from lab.key_files import certificate_builder, key_usage, pem
from lab.paths import LabPaths
from lab.toolchain import tools
from lab.toolchain.images import REGISTRY
from ops.audit import cluster as audit
from ops.core.files import write_private

FRONT_PROXY = "front-proxy-client"
"""Who the API server is to servers of further APIs: the only name whose word about a user they take."""
METRICS_SERVER = "metrics-server"


@dataclass(frozen=True)
class Identity:
    """A client or server of the control plane: file name, common name, organisation."""

    file: str
    common_name: str
    organisation: str = ""
    names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()


def identities(node: str) -> tuple[Identity, ...]:
    """Clients and servers of a control plane.

    Args:
        node: Address of its node.
    """
    return (
        Identity(
            "apiserver",
            "kube-apiserver",
            names=("kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"),
            addresses=(node, KUBERNETES_SERVICE, "127.0.0.1"),
        ),
        Identity("admin", "lab-admin", "system:masters"),
        Identity("kubelet", f"system:node:{NODE_NAME}", "system:nodes", names=(NODE_NAME,), addresses=(node,)),
        Identity("controller-manager", "system:kube-controller-manager"),
        Identity("scheduler", "system:kube-scheduler"),
        Identity("proxy", "system:kube-proxy"),
        Identity("front-proxy", FRONT_PROXY),
        Identity(METRICS_SERVER, METRICS_SERVER, names=(f"{METRICS_SERVER}.kube-system.svc",)),
    )


def create(folder: Path, cluster: EmbeddedCluster) -> None:
    """Create whatever is missing in ``folder``: CA, certificates, service account keys, kubeconfigs."""
    if (folder / "complete").exists():
        return
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "obs-lab")])
    ca = (
        certificate_builder(ca_name, ca_name, ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage(authority=True), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    write_private(folder / "ca.crt", ca.public_bytes(serialization.Encoding.PEM))
    write_private(folder / "ca.key", pem(ca_key))
    for identity in identities(cluster.node):
        key = ec.generate_private_key(ec.SECP256R1())
        write_private(folder / f"{identity.file}.key", pem(key))
        write_private(folder / f"{identity.file}.crt", _sign(identity, key, ca, ca_key))
        write_private(folder / f"{identity.file}.kubeconfig", _kubeconfig(folder, identity, cluster).encode())
    account = rsa.generate_private_key(65537, 2048)
    write_private(folder / "sa.key", pem(account))
    public = account.public_key()
    write_private(
        folder / "sa.pub",
        public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
    )
    write_private(folder / "complete", b"")


def _sign(
    identity: Identity, key: ec.EllipticCurvePrivateKey, ca: x509.Certificate, ca_key: ec.EllipticCurvePrivateKey
) -> bytes:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, identity.common_name)]
    if identity.organisation:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, identity.organisation))
    builder = certificate_builder(x509.Name(attributes), ca.subject, key.public_key()).add_extension(
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
    )
    alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in identity.names]
    alternatives += [x509.IPAddress(ipaddress.ip_address(address)) for address in identity.addresses]
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    builder = builder.add_extension(key_usage(authority=False), critical=True)
    return builder.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _kubeconfig(folder: Path, identity: Identity, cluster: EmbeddedCluster) -> str:
    def inline(name: str) -> str:
        return base64.b64encode((folder / name).read_bytes()).decode()

    credentials = {
        "client-certificate-data": inline(f"{identity.file}.crt"),
        "client-key-data": inline(f"{identity.file}.key"),
    }
    server = {"server": cluster.api_url, "certificate-authority-data": inline("ca.crt")}
    name, user = cluster.context, f"{cluster.context}-{identity.file}"
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": server}],
            "users": [{"name": user, "user": credentials}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": user}}],
            "current-context": name,
        }
    )


def merge_kubeconfigs(target: Path, files: Sequence[Path]) -> None:
    """Write one kubeconfig with the contexts of all; the first one's is the current one.

    Args:
        target: The file to write.
        files: Kubeconfigs whose names differ.
    """
    first, *others = (yaml.safe_load(file.read_text()) for file in files)
    for other in others:
        for group in ("clusters", "users", "contexts"):
            first[group] += other[group]
    write_private(target, yaml.safe_dump(first).encode())


PAUSE_IMAGE = f"{REGISTRY}/lab/pause:1"
_ETCD = f"http://127.0.0.1:{ETCD_PORT}"


def _dump(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def containerd_address(paths: LabPaths) -> Path:
    """Socket of the lab's own containerd."""
    return paths.state / "containerd.sock"


def network_name(paths: LabPaths) -> str:
    """Name of the pods' network: the container runtime keeps records under it outside the state folder."""
    return f"lab-{paths.instance}"


def _containerd_config(paths: LabPaths) -> Path:
    state = paths.state
    network = state / "cni" / "10-lab.conflist"
    network.parent.mkdir(parents=True, exist_ok=True)
    bridge = {
        "type": "bridge",
        "bridge": "lab0",
        "isGateway": True,
        "forceAddress": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "dataDir": str(state / "ipam"),
            "ranges": [[{"subnet": NODE_POD_CIDR}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    network.write_text(json.dumps({"cniVersion": "0.4.0", "name": network_name(paths), "plugins": [bridge, portmap]}))
    config = state / "containerd.toml"
    config.write_text(
        "\n".join(
            (
                "version = 2",
                f'root = "{state}/containerd"',
                f'state = "{state}/containerd-run"',
                "[grpc]",
                f'  address = "{containerd_address(paths)}"',
                '[plugins."io.containerd.grpc.v1.cri"]',
                f'  sandbox_image = "{PAUSE_IMAGE}"',
                "  restrict_oom_score_adj = true",
                "  disable_apparmor = true",
                '  stream_server_address = "127.0.0.1"',
                '[plugins."io.containerd.grpc.v1.cri".registry]',
                f'  config_path = "{_registries(paths)}"',
                '[plugins."io.containerd.grpc.v1.cri".cni]',
                '  bin_dir = "/usr/lib/cni"',
                f'  conf_dir = "{state}/cni"',
                '[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]',
                '  runtime_type = "io.containerd.runc.v2"',
                "",
            )
        )
    )
    return config


def _registries(paths: LabPaths) -> Path:
    """Folder with how containerd finds registries behind their names."""
    place = paths.state / "registries"
    file = place / REGISTRY / "hosts.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(registry.hosts_file(paths.first))
    return place


def _kubelet_config(paths: LabPaths, cgroup: str) -> Path:
    pki = paths.state / "pki"
    (paths.state / "resolv.conf").write_text("")
    return _dump(
        paths.state / "kubelet.yaml",
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": cluster_of(paths).node,
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(pki / "ca.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": cgroup,
            "clusterDNS": [DNS_SERVICE],
            "clusterDomain": "cluster.local",
            "containerRuntimeEndpoint": f"unix://{containerd_address(paths)}",
            "enforceNodeAllocatable": ["pods"],
            "evictionHard": {"memory.available": "200Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "failSwapOn": False,
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
            "maxPods": MAX_PODS,
            "podLogsDir": str(paths.state / "pod-logs"),
            "podPidsLimit": 2048,
            "resolvConf": str(paths.state / "resolv.conf"),
            "registryPullQPS": 0,
            "serializeImagePulls": False,
            "shutdownGracePeriod": "0s",
            "staticPodPath": "",
            "tlsCertFile": str(pki / "kubelet.crt"),
            "tlsPrivateKeyFile": str(pki / "kubelet.key"),
        },
    )


def on_path(program: str, package: str) -> str:
    """Absolute path of a program that a Debian package brings.

    Raises:
        LabError: It is not there.
    """
    executable = shutil.which(program, path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    if executable is None:
        raise LabError(f"{program} is not installed: apt-get install {package} (or run `make up`, which does)")
    return executable


def _audit_folder(paths: LabPaths) -> Path:
    return paths.state / "pki" / "audit"


def prepare_audit_webhook(paths: LabPaths, *, started: bool) -> None:
    """Make the missing files with which the API server posts its audit events to the platform (docs/audit.md).

    They are there before the API server starts, which is before there is a platform. Until that listens, batches are
    tried five times each and then dropped, beside requests, which wait for none of it.

    Args:
        paths: The lab.
        started: Whether the API server runs: it would not read them any more.

    Raises:
        LabError: It runs without them.
    """
    if started and not (_audit_folder(paths) / audit.WEBHOOK).exists():
        raise LabError("the node, of an older checkout, has no audit webhook: run `make down` first")
    audit.write(_audit_folder(paths), cluster_of(paths).namespace, AUDIT_SERVICE)


def audit_webhook_flags(paths: LabPaths) -> list[str]:
    """Flags of the API server."""
    return audit.flags(str(_audit_folder(paths)))


def audit_webhook_secrets(paths: LabPaths) -> Mapping[str, str]:
    """What the stack needs: the value of the secret ``observability:clusterAuditSecrets``.

    Raises:
        LabError: There is none.
    """
    try:
        return audit.read(_audit_folder(paths))
    except OSError as error:
        raise LabError(f"{error.filename} cannot be read: run `make up`, which makes it") from None


def daemons(paths: LabPaths, cgroup: str) -> tuple[Daemon, ...]:
    """All processes of the node in the order in which they start; their configuration files are written here."""
    state, pki, cluster = paths.state, paths.state / "pki", cluster_of(paths)
    inside = enter(paths.netns)

    def daemon(name: str, *command: str | Path, path_first: str = "") -> Daemon:
        environment = {"PATH": f"{path_first}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        return Daemon(name, [*inside, *map(str, command)], state, environment)

    return (
        daemon(
            "etcd",
            on_path("etcd", "etcd-server"),
            f"--data-dir={state}/etcd",
            f"--listen-client-urls={_ETCD}",
            f"--advertise-client-urls={_ETCD}",
            "--listen-peer-urls=http://127.0.0.1:2380",
            "--unsafe-no-fsync",
            "--log-level=warn",
        ),
        daemon(
            "kube-apiserver",
            tools.path("kube-apiserver"),
            f"--etcd-servers={_ETCD}",
            f"--secure-port={API_PORT}",
            f"--bind-address={cluster.node}",
            f"--advertise-address={cluster.node}",
            f"--tls-cert-file={pki}/apiserver.crt",
            f"--tls-private-key-file={pki}/apiserver.key",
            f"--client-ca-file={pki}/ca.crt",
            f"--service-account-key-file={pki}/sa.pub",
            f"--service-account-signing-key-file={pki}/sa.key",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-cluster-ip-range={SERVICE_CIDR}",
            "--authorization-mode=Node,RBAC",
            f"--kubelet-client-certificate={pki}/admin.crt",
            f"--kubelet-client-key={pki}/admin.key",
            f"--kubelet-certificate-authority={pki}/ca.crt",
            "--kubelet-preferred-address-types=InternalIP",
            f"--requestheader-client-ca-file={pki}/ca.crt",
            f"--requestheader-allowed-names={FRONT_PROXY}",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            # The node's own network namespace has routes to pods and none to Services.
            "--enable-aggregator-routing=true",
            f"--proxy-client-cert-file={pki}/front-proxy.crt",
            f"--proxy-client-key-file={pki}/front-proxy.key",
            "--allow-privileged=true",
            # Pods know their zone, as they do everywhere from 1.35 on.
            "--feature-gates=PodTopologyLabelsAdmission=true",
            "--profiling=false",
            *audit_webhook_flags(paths),
        ),
        daemon(
            "kube-controller-manager",
            tools.path("kube-controller-manager"),
            f"--kubeconfig={pki}/controller-manager.kubeconfig",
            f"--service-account-private-key-file={pki}/sa.key",
            f"--root-ca-file={pki}/ca.crt",
            "--use-service-account-credentials",
            f"--cluster-signing-cert-file={pki}/ca.crt",
            f"--cluster-signing-key-file={pki}/ca.key",
            "--allocate-node-cidrs=true",
            f"--cluster-cidr={POD_CIDR}",
            f"--node-cidr-mask-size={NODE_POD_PREFIX}",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            "--profiling=false",
        ),
        daemon(
            "kube-scheduler",
            tools.path("kube-scheduler"),
            f"--kubeconfig={pki}/scheduler.kubeconfig",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            "--profiling=false",
        ),
        daemon("containerd", on_path("containerd", "containerd"), "--config", _containerd_config(paths)),
        daemon(
            "kubelet",
            tools.path("kubelet"),
            f"--config={_kubelet_config(paths, cgroup)}",
            f"--kubeconfig={pki}/kubelet.kubeconfig",
            f"--root-dir={state}/kubelet",
            f"--hostname-override={NODE_NAME}",
            f"--node-ip={cluster.node}",
            "--node-labels="
            f"topology.kubernetes.io/zone={cluster.region}-a,topology.kubernetes.io/region={cluster.region}",
        ),
        daemon(
            "kube-proxy",
            tools.path("kube-proxy"),
            f"--kubeconfig={pki}/proxy.kubeconfig",
            f"--cluster-cidr={POD_CIDR}",
            f"--hostname-override={NODE_NAME}",
            "--proxy-mode=iptables",
            "--conntrack-max-per-core=0",
            "--conntrack-tcp-timeout-established=0s",
            "--conntrack-tcp-timeout-close-wait=0s",
            "--iptables-min-sync-period=200ms",
        ),
        daemon(
            "kube-router",
            tools.path("kube-router"),
            f"--kubeconfig={pki}/admin.kubeconfig",
            "--run-firewall=true",
            "--run-router=false",
            "--run-service-proxy=false",
            f"--service-cluster-ip-range={SERVICE_CIDR}",
            f"--service-external-ip-range={cluster.load_balancers}",
            f"--hostname-override={NODE_NAME}",
            "--metrics-port=0",
            "--health-port=20244",
        ),
        daemon("cert-manager", tools.path("cert-manager"), f"--kubeconfig={pki}/admin.kubeconfig"),
    )
