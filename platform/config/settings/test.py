"""Settings for tests: fast hashing, mails in memory, short leases, files in a throw-away folder."""

import os
import tempfile
from pathlib import Path

from config.env import env
from config.settings.base import *  # noqa: F403
from config.settings.base import database

SECRET_KEY = "for-tests-only-" + "0" * 50
ALLOWED_HOSTS = ["*"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
DATABASES = {"default": database(env("DATABASE_URL", "postgresql://lingxi@127.0.0.1:5432/lingxi", ""), 0)}
# Only named here: whoever reads the settings alone, as mypy does, must leave no folder behind.
HOME = Path(env("LINGXI_HOME", str(Path(tempfile.gettempdir(), f"lingxi-test-{os.getpid()}")), ""))
STORAGES = {
    "default": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": HOME / "files"},
    },
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
GENERATION_ENGINE = "torch"
API_RATE_PER_MINUTE = 1_000_000
ACCOUNT_RATE_LIMITS = {}
