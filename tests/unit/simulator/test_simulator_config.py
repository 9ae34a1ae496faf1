"""A user's mistake in the configuration or in a fault plan is one clear line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.simulator.__main__ import main
from lab.simulator.config import FaultFile, SimulatorError, parse, parse_document, parse_faults

GOOD: dict[str, Any] = {
    "endpoint": "https://gateway.obs-local.svc.cluster.local:4318",
    "ca_file": "/etc/simulator/ca.crt",
    "credentials_dir": "/etc/credentials",
}
CHECKOUT = Path(__file__).parents[3]


def test_the_smallest_configuration_has_the_documented_defaults() -> None:
    config = parse(GOOD, "f")
    assert (config.devices, config.interval_s, config.protocol, config.faults) == (36, 10.0, "http/protobuf", ())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"device": 3}, "f: device: unknown key; allowed are endpoint, protocol, ca_file"),
        ({"endpoint": None}, "f: endpoint: is required"),
        ({"endpoint": "http://gateway:4318"}, "must be https://host:port, since the gateway takes TLS only"),
        ({"endpoint": "https://gateway"}, "must be https://host:port"),
        ({"endpoint": "https://gateway:99999"}, "must be https://host:port"),
        ({"protocol": "udp"}, "protocol is 'udp': use one of http/protobuf, grpc"),
        ({"devices": 0}, "f.devices is 0: must be a number from 1 to 5000"),
        ({"devices": 2.5}, "f.devices is 2.5: must be a whole number"),
        ({"devices": True}, "f.devices is True: must be a number"),
        ({"interval_s": "fast"}, "f.interval_s is 'fast': must be a number from 0.1 to 3600"),
        ({"faults": [{"kind": "rain"}]}, r"f: faults\[0\].kind is 'rain': use one of battery, delivery-delay"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_what_is_allowed(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SimulatorError, match=message):
        parse({**GOOD, **change}, "f")


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        ({"kind": "battery"}, "faults: must be a list of faults, is dict"),
        (["battery"], r"faults\[0\]: must be a mapping like"),
        ([{"kind": "battery", "begin": 3}], r"faults\[0\].begin: unknown key; allowed are kind, start, duration"),
        ([{"kind": "battery", "magnitude": 20}], r"faults\[0\].magnitude is 20: must be a number from 0 to 1"),
        ([{"kind": "cpu", "targets": 2}], r"faults\[0\].targets: fault cpu does not hit single devices"),
        ([{"kind": "cpu"}, {"kind": "cpu", "start": -1}], r"faults\[1\].start is -1"),
    ],
)
def test_a_wrong_fault_is_named_with_its_place(faults: object, message: str) -> None:
    with pytest.raises(SimulatorError, match=message):
        parse_faults(faults, "faults")


def test_a_fault_document_has_one_key() -> None:
    assert parse_document("", "f") == ()
    with pytest.raises(SimulatorError, match="must have the one key `faults`"):
        parse_document("fault: []", "f")
    with pytest.raises(SimulatorError, match="is not YAML"):
        parse_document("faults: [", "f")


def test_the_program_ends_with_one_line_and_code_2_for_an_unknown_key(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump({**GOOD, "devcies": 3}))
    done = subprocess.run(
        [sys.executable, "-m", "lab.simulator", "--config", str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=CHECKOUT,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"error: {file}: devcies: unknown key; allowed are endpoint")


def test_missing_files_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "config.yaml"
    assert main(["--config", str(file)]) == 2
    file.write_text(yaml.safe_dump(GOOD))
    assert main(["--config", str(file)]) == 2
    (tmp_path / "ca.crt").write_text("x")
    file.write_text(yaml.safe_dump({**GOOD, "ca_file": str(tmp_path / "ca.crt"), "credentials_dir": str(tmp_path)}))
    assert main(["--config", str(file)]) == 2
    (tmp_path / "device").write_text("\n")
    assert main(["--config", str(file)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        f"error: cannot read {file}: No such file or directory",
        "error: ca_file: cannot read /etc/simulator/ca.crt (No such file or directory)",
        f"error: password of layer device: cannot read {tmp_path}/device (No such file or directory)",
        f"error: password of layer device: {tmp_path}/device is empty",
    ]


def test_a_fault_file_is_read_again_when_it_changes_and_a_broken_one_changes_nothing(tmp_path: Path) -> None:
    said: list[str] = []
    path = tmp_path / "faults.yaml"
    file = FaultFile(path, (), said.append)
    assert file.plan(0).faults == ()
    path.write_text("faults: [{kind: cpu, start: 5, duration: 10}]")
    assert file.plan(100).names(104) == ()
    assert file.plan(100).names(105) == ("cpu",)
    path.write_text("faults: [{kind: cup}]")
    assert file.plan(110).names(110) == ("cpu",)
    assert "kind is 'cup'" in said[-1]
    assert said[-1].endswith("the faults in force are kept")
    path.unlink()
    assert file.plan(111).names(111) == ()


def test_faults_of_the_configuration_keep_their_times_when_a_file_appears(tmp_path: Path) -> None:
    path = tmp_path / "faults.yaml"
    file = FaultFile(path, parse_faults([{"kind": "storage", "start": 50, "duration": 10}], "faults"), lambda _: None)
    path.write_text("faults: [{kind: cpu, duration: 1000}]")
    plan = file.plan(40)
    assert plan.names(49) == ("cpu",)
    assert plan.names(55) == ("cpu", "storage")
    assert plan.names(61) == ("cpu",)
