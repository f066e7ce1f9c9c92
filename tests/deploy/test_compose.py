"""docker-compose.yml is whole, has no default secret, and each role's exact command starts on this machine."""

import os
import re
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from core import probe
from core.embedded.places import binaries, environment
from core.embedded.stack import Stack

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if "build" in service]
SIGNS = {  # what a role says when it works
    "web": "Application startup complete",
    "worker-io": "ready.",
    "worker-train": "ready.",
    "worker-infer": "ready.",
    "generation": "",  # silent; it lives until told to end
    "beat": "beat: Starting",
}
VARIABLE = re.compile(r"\$\{(\w+)(?::([?-])([^}]*))?\}")
FILLED = {
    "LINGXI_DATABASE_PASSWORD": "a" * 64,
    "LINGXI_REDIS_PASSWORD": "b" * 64,
    "LINGXI_SECRET_KEY": "c" * 64,
    "LINGXI_ALLOWED_HOSTS": "nlp.example.com",
    "LINGXI_SITE_URL": "https://nlp.example.com",
}


def filled_in(value: Any) -> Any:
    """What compose makes of `${NAME:?message}` and `${NAME:-default}` with the example filled in."""
    if isinstance(value, list):
        return [filled_in(each) for each in value]
    if isinstance(value, dict):
        return {name: filled_in(each) for name, each in value.items()}
    if not isinstance(value, str):
        return value
    return VARIABLE.sub(lambda found: FILLED.get(found[1], found[3] if found[2] == "-" else ""), value)


def test_all_roles_of_the_house_are_there() -> None:
    assert set(SERVICES) == {"prepare", *SIGNS, "postgres", "redis"}


def test_no_secret_has_a_default_and_every_variable_is_in_the_example() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    example = (ROOT / ".env.example").read_text()

    for name, kind, _rest in VARIABLE.findall(text):
        assert re.search(rf"^{name}=", example, re.MULTILINE), name
        if re.search(r"SECRET|DATABASE_PASSWORD|REDIS_PASSWORD", name):
            assert kind == "?", f"{name} must be required"
    assert not re.search(r"^LINGXI_(SECRET_KEY|\w+PASSWORD)=.", example, re.MULTILINE)


def test_every_role_that_stays_has_a_health_check_and_a_named_volume() -> None:
    volumes = {volume.split(":")[0] for service in SERVICES.values() for volume in service["volumes"]}

    assert [name for name, service in SERVICES.items() if "healthcheck" not in service] == ["prepare"]
    assert volumes == set(COMPOSE["volumes"])
    assert all(service["restart"] == "unless-stopped" for name, service in SERVICES.items() if name != "prepare")


def test_the_dockerfile_has_every_target_and_copies_only_what_exists() -> None:
    text = (ROOT / "platform/docker/Dockerfile").read_text()
    stages = set(re.findall(r"^FROM \S+ AS (\w+)", text, re.MULTILINE))
    copied = [word for line in re.findall(r"^COPY (?!--from)(.+)", text, re.MULTILINE) for word in line.split()[:-1]]

    assert {SERVICES[name]["build"]["target"] for name in OURS} <= stages
    assert all(SERVICES[name]["build"]["dockerfile"] == "platform/docker/Dockerfile" for name in OURS)
    assert [name for name in copied if not (ROOT / name).exists()] == []


class Running:
    """A role's command as a process, with its output."""

    def __init__(self, name: str, words: list[str], surroundings: dict[str, str]) -> None:
        self.name, self.said = name, ""
        self.process = subprocess.Popen(
            words, cwd=ROOT, env=surroundings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )

    def read(self) -> None:
        if self.process.stdout:
            self.said += os.read(self.process.stdout.fileno(), 65536).decode(errors="replace")


def free_port() -> str:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return str(door.getsockname()[1])


@pytest.fixture
def surroundings() -> Iterator[dict[str, str]]:
    """The environment of a role, with the embedded servers in the places of `postgres` and `redis`."""
    folder = Path(tempfile.mkdtemp(prefix="lx-"))
    folder.chmod(0o711)
    with Stack(folder / "servers", durable=False) as stack:
        address = environment(stack.home)
        yield {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            **filled_in(SERVICES["web"]["environment"]),
            "DATABASE_URL": address["DATABASE_URL"],
            "REDIS_URL": address["REDIS_URL"],
            "LINGXI_BROKER_URL": address["LINGXI_BROKER_URL"],
            "LINGXI_HOME": str(folder / "home"),
            "DJANGO_SETTINGS_MODULE": "config.settings.production",
            "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}",
            "PYTHONUNBUFFERED": "1",
            "OMP_NUM_THREADS": "1",
        }
    shutil.rmtree(folder, ignore_errors=True)


def command(name: str, port: str) -> list[str]:
    """The exact words, but for this machine's Python, loopback and a free port."""
    here = {"python": sys.executable, "0.0.0.0": "127.0.0.1", "8000": port}
    return [here.get(word, word) for word in filled_in(SERVICES[name]["command"])]


def until_all_work(roles: list[Running], seconds: float) -> None:
    """Read until each has said its sign; fails with the output of the one that ended or stayed silent."""
    waiting = {role.name: role for role in roles if SIGNS[role.name]}
    deadline = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        for role in roles:
            if role.process.stdout:
                selector.register(role.process.stdout, selectors.EVENT_READ, role)
        while waiting:
            events = selector.select(deadline - time.monotonic())
            assert events, f"silent for too long: {[(role.name, role.said) for role in waiting.values()]}"
            for key, _mask in events:
                role = key.data
                role.read()
                assert role.process.poll() is None, f"{role.name} ended:\n{role.said}"
                if SIGNS[role.name] in role.said:
                    waiting.pop(role.name, None)


def test_each_roles_exact_command_starts_and_ends_politely(surroundings: dict[str, str]) -> None:
    port = free_port()
    prepared = subprocess.run(
        command("prepare", port), cwd=ROOT, env=surroundings, capture_output=True, text=True, check=False
    )
    assert prepared.returncode == 0, prepared.stderr
    assert "owner@localhost" in prepared.stdout

    roles = [Running(name, command(name, port), surroundings) for name in SIGNS]
    try:
        until_all_work(roles, 90)
        checks = {name: SERVICES[name]["healthcheck"]["test"][1:] for name in SIGNS}
        for check in {tuple(words) for words in checks.values()}:
            words = [sys.executable if word == "python" else word for word in check]
            done = subprocess.run(words, env={**surroundings, "LINGXI_PORT": port}, cwd=ROOT, check=False)
            assert done.returncode == 0, check
        assert [role.name for role in roles if role.process.poll() is not None] == []
    finally:
        for role in roles:
            role.process.send_signal(signal.SIGTERM)
        for role in roles:
            rest, _none = role.process.communicate(timeout=60)
            role.said += rest.decode(errors="replace")

    assert {role.name: role.process.returncode for role in roles if role.process.returncode not in (0, -15)} == {}
    assert not [role.name for role in roles if "Traceback" in role.said]


def test_the_redis_command_is_one_that_the_server_takes(tmp_path: Path) -> None:
    words = filled_in(SERVICES["redis"]["command"])
    server = str(binaries(None).valkey)

    with Running(
        "redis", [server, *words[1:], "--port", free_port(), "--dir", str(tmp_path)], dict(os.environ)
    ).process as run:
        said = b""
        while run.stdout and b"Ready to accept connections" not in said:
            part = os.read(run.stdout.fileno(), 65536)
            assert part, said
            said += part
        run.terminate()
        if run.stdout:
            run.stdout.read()

    assert run.returncode == 0


def test_a_probe_says_no_when_nothing_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINGXI_PORT", free_port())
    monkeypatch.setenv("DATABASE_URL", f"postgresql://x@127.0.0.1:{free_port()}/x")
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{free_port()}/0")

    assert [probe.main(["web"]), probe.main(["services"]), probe.main([])] == [1, 1, 2]
