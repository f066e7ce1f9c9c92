"""Files of articles of the past: read row by row from where the last attempt stopped."""

from itertools import islice
from typing import Any

from django.utils import timezone

from apps.datasets.formats.problems import FileProblem, Position
from apps.datasets.formats.reading import read_rows
from apps.sentiment.models import Backfill
from apps.sentiment.services import backfills
from core.errors import Refused
from core.jobs.run import Run
from core.storage import home
from words import say

BATCH_ROWS = 200


def run_backfill(run: Run) -> dict[str, Any]:
    """Take the rows of the file batch by batch; a row that cannot be used is told and the next go on."""
    backfill = Backfill.objects.select_related("source__monitor__workspace").get(job=run.job)
    path = home() / backfill.file_path
    if not backfill.file_path or not path.is_file():
        raise Refused("file_gone", say("The file of this import is gone. Upload it again."))
    start = Position(*backfill.position) if backfill.position else Position()
    run.progress(backfill.row_count, None, unit="rows", phase=say("importing"), now=True)
    rows = read_rows(path, backfills.options_of(backfill), start)
    ended: FileProblem | None = None
    while ended is None:
        batch = []
        try:
            for row in islice(rows, BATCH_ROWS):
                batch.append(row)  # noqa: PERF402 - what was read before the file fails counts
        except FileProblem as problem:
            ended = problem
        if not batch:
            break
        backfills.store_rows(run=run, backfill=backfill, rows=batch, now=timezone.now())
        run.progress(backfill.row_count, None, unit="rows")
    if ended is not None:
        raise Refused(
            ended.code,
            ended.message,
            hint=say("{row_count:,} rows before it were dealt with and are kept.", row_count=backfill.row_count),
        )
    return backfills.finish_backfill(run=run, backfill=backfill)
