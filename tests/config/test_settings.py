"""Settings: documented, refused when wrong, and safe in production."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SECRET = "for-tests-only-" + "k8Jd0sQwE7rTy2Uo" * 4


def manage(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    ours = ("LINGXI_", "DATABASE_", "REDIS_", "DJANGO_")  # the browser tests set a DJANGO_ variable of their own
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=ROOT,
        env={**clean, "LINGXI_SECRET_KEY": SECRET, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_setting_stands_in_the_documentation() -> None:
    done = manage("configuration", DJANGO_SETTINGS_MODULE="config.settings.embedded")

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == (ROOT / "docs/configuration.md").read_text().strip()


def test_production_settings_pass_the_deployment_check() -> None:
    done = manage("check", "--deploy", "--fail-level", "WARNING", DJANGO_SETTINGS_MODULE="config.settings.production")

    assert done.returncode == 0, done.stderr


def test_production_refuses_a_missing_secret() -> None:
    done = manage("check", DJANGO_SETTINGS_MODULE="config.settings.production", LINGXI_SECRET_KEY="")

    assert done.returncode != 0
    assert "LINGXI_SECRET_KEY" in done.stderr


@pytest.mark.parametrize(("name", "value"), [("LINGXI_SMTP_PORT", "many"), ("LINGXI_SMTP_TLS", "perhaps")])
def test_a_wrong_value_is_refused_by_name(name: str, value: str) -> None:
    done = manage("check", DJANGO_SETTINGS_MODULE="config.settings.embedded", **{name: value})

    assert done.returncode != 0
    assert name in done.stderr


@pytest.mark.parametrize("home", ["", "given"])
def test_reading_the_settings_of_tests_leaves_no_folder_behind(tmp_path: Path, home: str) -> None:
    given = {"LINGXI_HOME": str(tmp_path / home)} if home else {}
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LINGXI_")}

    done = subprocess.run(
        [sys.executable, "-c", "from config.settings import test; print(test.HOME)"],
        env={**clean, **given, "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT / "platform")},
        capture_output=True,
        text=True,
        check=True,
    )

    assert Path(done.stdout.strip()).parent == tmp_path
    assert list(tmp_path.iterdir()) == []
