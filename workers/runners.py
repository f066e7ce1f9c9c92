"""Which function does which kind of job; each takes the claimed run and returns its result."""

from collections.abc import Callable, Mapping
from typing import Any

from core.jobs.run import Run
from workers import accounts

Runner = Callable[[Run], Mapping[str, Any] | None]

RUNNERS: dict[str, Runner] = {
    "accounts.delete_workspace": accounts.run_delete_workspace,
}
"""Filled by name in this file only, so that the whole table can be read at once."""
