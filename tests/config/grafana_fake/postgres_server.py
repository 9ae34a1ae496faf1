"""A real PostgreSQL 15 with TLS and SCRAM only, which can be stopped and started again."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.config.pki import write_certificates
from tests.config.servers import START_SECONDS, eventually, free_port

PROGRAMS = Path("/usr/lib/postgresql/15/bin")
OWNER = "postgres"
USER, PASSWORD, NAME = "grafana", "database-password-of-the-test", "grafana"


class PostgresServer:
    """The server, with an empty database for Grafana."""

    def __init__(self, folder: Path) -> None:
        """Make the data folder below ``folder``, which everybody must be able to enter."""
        assert (PROGRAMS / "postgres").exists(), "PostgreSQL 15 is missing: apt-get install postgresql"
        self.port = free_port()
        self.folder = folder / "postgres"
        self.folder.mkdir()
        self.ca_file = self.folder / "ca.crt"
        write_certificates(self.folder)
        (self.folder / "password").write_text(PASSWORD)
        for file in self.folder.iterdir():
            shutil.chown(file, OWNER, OWNER)
        (self.folder / "tls.key").chmod(0o600)
        shutil.chown(self.folder, OWNER, OWNER)
        self.process: subprocess.Popen[bytes] | None = None
        self._initialize()

    def _initialize(self) -> None:
        data = self.folder / "data"
        command = [
            *(str(PROGRAMS / "initdb"), "-D", str(data), "-U", USER, "--auth=scram-sha-256", "--no-sync"),
            *(f"--pwfile={self.folder / 'password'}", "--encoding=UTF8", "--locale=C.UTF-8"),
        ]
        subprocess.run(command, check=True, capture_output=True, user=OWNER, cwd=self.folder)
        (data / "pg_hba.conf").write_text(
            "hostssl all all 127.0.0.1/32 scram-sha-256\nhostssl all all ::1/128 scram-sha-256\n"
        )
        settings = {
            "listen_addresses": "'localhost'",
            "port": str(self.port),
            "ssl": "on",
            "ssl_cert_file": f"'{self.folder / 'tls.crt'}'",
            "ssl_key_file": f"'{self.folder / 'tls.key'}'",
            "unix_socket_directories": "''",
            "max_connections": "60",
            "fsync": "off",
        }
        with (data / "postgresql.conf").open("a") as file:
            file.writelines(f"{key} = {value}\n" for key, value in settings.items())

    def start(self) -> None:
        """Start it and wait until it listens."""
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(PROGRAMS / "postgres"), "-D", str(self.folder / "data")],
                stdout=log,
                stderr=subprocess.STDOUT,
                user=OWNER,
                cwd=self.folder,
            )
        # It listens before it has read its data, and refuses everybody until then.
        eventually(self._answers, START_SECONDS, "PostgreSQL lets people in")

    def stop(self) -> None:
        """End it at once, as a crash would, and wait."""
        if self.process:
            self.process.send_signal(3)
            self.process.wait(timeout=60)
            self.process = None

    def make(self, database: str) -> None:
        """Make another empty database."""
        self.run(f'CREATE DATABASE "{database}"', "postgres")

    def run(self, statement: str, database: str = NAME) -> str:
        """Run a statement with psql; returns what it prints."""
        where = f"host=localhost port={self.port} user={USER} dbname={database} sslmode=verify-full"
        done = subprocess.run(
            [str(PROGRAMS / "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", f"{where} sslrootcert={self.ca_file}"],
            input=statement,
            check=True,
            capture_output=True,
            text=True,
            env={"PGPASSWORD": PASSWORD},
        )
        return done.stdout.strip()

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "server.log").read_text()[-3000:]
        try:
            return self.run("SELECT 1", "postgres") == "1"
        except subprocess.CalledProcessError:
            return False
