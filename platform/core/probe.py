"""A container's health check: python -m core.probe web|services; exit code 0 when all is well."""

import os
import sys
import urllib.error
import urllib.request

import psycopg
import redis

SECONDS = 5


def web_answers(port: str) -> bool:
    """Whether /readyz of this container says so, asked under a host name that is allowed."""
    host = os.environ.get("LINGXI_ALLOWED_HOSTS", "localhost").split(",")[0].strip().lstrip(".")
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/readyz", headers={"Host": host if host not in {"", "*"} else "localhost"}
    )
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as response:  # noqa: S310
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def services_answer() -> bool:
    """Whether a worker can reach the database and Redis. That a job goes on is shown by its lease, not here."""
    try:
        with psycopg.connect(os.environ["DATABASE_URL"], connect_timeout=SECONDS) as connection:
            connection.execute("SELECT 1")
        with redis.Redis.from_url(os.environ["REDIS_URL"], socket_timeout=SECONDS) as client:
            return bool(client.ping())
    except (psycopg.Error, redis.RedisError):
        return False


def main(words: list[str]) -> int:
    """0 well, 1 not, 2 wrong usage."""
    if words[:1] == ["web"]:
        return 0 if web_answers(os.environ.get("LINGXI_PORT", "8000")) else 1
    if words == ["services"]:
        return 0 if services_answer() else 1
    return 2


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
