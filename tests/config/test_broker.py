"""The web process talks to the configured broker, whoever started it."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_web_process_wakes_workers_through_the_configured_broker() -> None:
    program = (
        "import config.asgi\n"
        "from celery import current_app\n"
        "assert current_app.conf.broker_url == 'redis://broker.example:6379/3', current_app.conf.broker_url\n"
    )
    subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        cwd=ROOT,
        env={
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}",
            "DJANGO_SETTINGS_MODULE": "config.settings.test",
            "LINGXI_BROKER_URL": "redis://broker.example:6379/3",
        },
    )
