"""Real sshds on loopback: one listener for each host, an sshd for each connection, as this user and without root."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path

import asyncssh

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin") or ""
PASSPHRASE = "open-sesame"
USER = pwd.getpwuid(os.getuid()).pw_name


class Server:
    """One host's SSH: sshd in its inetd form, given each connection that is accepted here."""

    def __init__(self, directory: Path, name: str, authorized: str) -> None:
        self.name = name
        self.connections = 0
        directory.mkdir()
        self._key = asyncssh.generate_private_key("ssh-ed25519")
        self._key.write_private_key(str(directory / "host_key"))
        (directory / "host_key").chmod(0o600)
        (directory / "authorized_keys").write_text(authorized)
        self._config = directory / "sshd_config"
        self._config.write_text(
            f"HostKey {directory}/host_key\n"
            f"AuthorizedKeysFile {directory}/authorized_keys\n"
            "PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
            "PermitRootLogin prohibit-password\nSubsystem sftp internal-sftp\nUseDNS no\nLogLevel ERROR\n"
            # No start-up files of whoever runs the tests.
            f"SetEnv HOME={directory}\n"
        )
        self._log = (directory / "log").open("wb")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._alive: list[subprocess.Popen[bytes]] = []
        self._is_away = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._accept, name=f"sshd {name}")
        self._thread.start()

    @property
    def known(self) -> str:
        """Its line of a known_hosts file."""
        return f"[127.0.0.1]:{self.port} {self._key.export_public_key().decode().strip()}\n"

    @property
    def open(self) -> int:
        """Connections that there are now."""
        with self._lock:
            return sum(process.poll() is None for process in self._alive)

    def cut(self) -> None:
        """End every connection in the middle of whatever it does; what was started on the host is left alone."""
        with self._lock:
            for process in self._alive:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            self._alive.clear()

    def go_away(self) -> None:
        """Answer nobody, and end what there is."""
        self._is_away = True
        self.cut()

    def come_back(self) -> None:
        """Answer again."""
        self._is_away = False

    def close(self) -> None:
        """Leave nothing behind."""
        self.go_away()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        self.cut()
        self._log.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, self._lock:
                if self._is_away:
                    continue
                self.connections += 1
                self._alive = [process for process in self._alive if process.poll() is None]
                self._alive.append(
                    subprocess.Popen(
                        (SSHD, "-i", "-e", "-f", str(self._config)),
                        stdin=connection.fileno(),
                        stdout=connection.fileno(),
                        stderr=self._log,
                        start_new_session=True,
                    )
                )


class Servers:
    """Some hosts, the key that opens them, and the file that knows theirs."""

    def __init__(self, directory: Path, names: tuple[str, ...]) -> None:
        if os.getuid() == 0:
            # Where sshd, run by root, wants to lock itself in before anybody has logged in.
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        key = asyncssh.generate_private_key("ssh-ed25519")
        self.key_file = directory / "key"
        self.key_file.write_bytes(key.export_private_key("pkcs8-pem", PASSPHRASE))
        self.open_key_file = directory / "open_key"
        self.open_key_file.write_bytes(key.export_private_key("openssh"))
        self.authorized = key.export_public_key().decode()
        self.by_name = {name: Server(directory / name, name, self.authorized) for name in names}
        self.known_hosts = directory / "known_hosts"
        self.known_hosts.write_text("".join(server.known for server in self.by_name.values()))

    def __getitem__(self, name: str) -> Server:
        return self.by_name[name]

    @property
    def environ(self) -> Mapping[str, str]:
        """What Andon's environment holds."""
        return {"DEPLOY_PASSPHRASE": PASSPHRASE}

    def close(self) -> None:
        """End them all."""
        for server in self.by_name.values():
            server.close()
