"""Point a command at the embedded servers of a home, before the settings are read."""

import os
from pathlib import Path

from core.embedded.places import environment
from core.embedded.stack import is_running

OWN_SETTINGS = "config.settings.embedded"
MAKES_HOME = {"up"}
STAYS_AWAY = {"test", "restore"}  # these choose their servers themselves
ASKED_ONLY = {"bench"}  # works in a home only when that home is named


def adopt(argv: list[str], *, default_home: Path) -> list[str]:
    """Fill the environment with the home's addresses and secrets; returns argv without --home DIR.

    Any command takes --home. Does nothing when DATABASE_URL is given or other settings are chosen. Only `up`
    makes a home that is not there yet.
    """
    argv, home = _without_home(argv)
    if home:
        os.environ["LINGXI_HOME"] = str(Path(home).expanduser().resolve())
    command = argv[1] if len(argv) > 1 else ""
    if "DATABASE_URL" in os.environ or os.environ.get("DJANGO_SETTINGS_MODULE") != OWN_SETTINGS:
        return argv
    named = os.environ.get("LINGXI_HOME")
    if command in ASKED_ONLY and not named:
        return argv
    folder = Path(named or default_home).resolve()
    known = (folder / "secrets.json").exists() or command in MAKES_HOME
    if known and command not in STAYS_AWAY and not {"-h", "--help"} & set(argv):
        for name, value in environment(folder).items():
            os.environ.setdefault(name, value)
    return argv


def uses_embedded(home: Path) -> bool:
    """Whether this process talks to the home's own servers, and not to some that the environment named."""
    return (home / "secrets.json").exists() and os.environ.get("DATABASE_URL") == environment(home)["DATABASE_URL"]


def why_unreachable() -> str:
    """A sentence when the home's own servers are meant and do not run, else nothing."""
    home = Path(os.environ.get("LINGXI_HOME", ""))
    if uses_embedded(home) and not is_running(home):
        return f"Lingxi does not run in {home}. Start it first: ./lingxi up --home {home}"
    return ""


def _without_home(argv: list[str]) -> tuple[list[str], str]:
    """--home DIR and --home=DIR taken out, up to a bare --."""
    kept, home, words = argv[:1], "", iter(argv[1:])
    for word in words:
        if word == "--":
            return [*kept, word, *words], home
        if word == "--home":
            home = next(words, "")
        elif word.startswith("--home="):
            home = word.removeprefix("--home=")
        else:
            kept.append(word)
    return kept, home
