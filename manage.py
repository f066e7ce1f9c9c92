#!/usr/bin/env python
"""Django's command line; puts platform/ on the import path first."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
for folder in (str(ROOT), str(ROOT / "platform")):  # platform/ itself is never a package
    if folder not in sys.path:
        sys.path.insert(0, folder)


def main() -> None:
    """Run one management command, on the embedded servers unless the environment names others."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.embedded")
    from core.embedded.connect import adopt, why_unreachable
    from core.embedded.errors import StackError

    try:
        sys.argv = adopt(sys.argv, default_home=ROOT / "var")
    except StackError as error:
        raise SystemExit(str(error)) from error

    from django.core.management import execute_from_command_line
    from django.db.utils import OperationalError

    try:
        execute_from_command_line(sys.argv)
    except OperationalError as error:
        if reason := why_unreachable():
            raise SystemExit(reason) from error
        raise


if __name__ == "__main__":
    main()
