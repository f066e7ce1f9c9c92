"""A process that reads one claimed source: its id and token are the arguments."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "platform")]
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings.test"

import django  # noqa: E402

django.setup()

from django.conf import settings  # noqa: E402

from workers import collecting  # noqa: E402

if __name__ == "__main__":
    settings.OUTBOUND_ALLOW = ["127.0.0.1"]
    collecting.LEAST_DELAY_SECONDS = 0.0
    collecting.read_source(int(sys.argv[1]), int(sys.argv[2]))
