"""Make the demo workspace; a job then fills it step by step before the newcomer's eyes."""

from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from apps.accounts.models import Workspace
from apps.accounts.services import create_workspace
from core.jobs import services as jobs

DEMO_NAME = "Harbourline Bank 澄港银行 (demo)"
DEMO_SLUG = "demo"


@transaction.atomic
def start_demo(*, owner: Any) -> Workspace:
    """The demo workspace of an invented bank, and the job that fills it."""
    workspace = create_workspace(name=DEMO_NAME, owner=owner, slug=DEMO_SLUG, is_demo=True)
    jobs.create(
        kind="dashboard.demo",
        workspace=workspace,
        queue="io",
        title=_("Fill the demo workspace"),
        by=owner,
        unit="steps",
        max_attempts=5,
    )
    return workspace
