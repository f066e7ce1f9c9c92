"""Files of articles of the past: kept, mapped, looked at, and read by a job batch by batch."""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction

from apps.accounts.services import audit
from apps.datasets.formats.options import ReadOptions
from apps.datasets.formats.problems import RawRow, RowError
from apps.datasets.preview import first_rows
from apps.datasets.services.imports import plain_name, read_options, sniffed, take, too_large
from apps.sentiment.collecting.items import Confidence, Item
from apps.sentiment.collecting.moments import read_moment
from apps.sentiment.models import Backfill, Monitor, Source, SourceKind
from apps.sentiment.services.ingest import LONGEST_BODY, ingest
from core.access import Actor
from core.errors import Refused, conflict
from core.jobs import services as jobs
from core.jobs.run import Run
from core.storage import home, require_free_space, workspace_folder
from words import say

FIELDS = ("title", "body", "published_at", "url", "external_id", "author", "language")
NAMES: dict[str, tuple[str, ...]] = {
    "title": ("title", "headline", "标题", "题目"),
    "body": ("body", "text", "content", "article", "正文", "内容", "文本"),
    "published_at": (
        "published_at",
        "published",
        "pubdate",
        "date",
        "datetime",
        "time",
        "created_at",
        "发布时间",
        "日期",
        "时间",
    ),
    "url": ("url", "link", "address", "链接", "网址", "地址"),
    "external_id": ("external_id", "id", "guid", "uuid", "编号"),
    "author": ("author", "byline", "作者"),
    "language": ("language", "lang", "语言"),
}
PREVIEWED = 10
PROBLEMS_KEPT = 20


def receive_backfill(*, actor: Actor, monitor: Monitor, upload: Any, name: str = "") -> Backfill:
    """Keep a file, guess its columns, and put it under a source of its name; a file that was sent before goes under the same."""
    if upload.size > settings.UPLOAD_LIMIT_BYTES:
        raise too_large()
    require_free_space(upload.size)
    file_name = plain_name(upload.name)
    path = workspace_folder(monitor.workspace_id, "backfills") / uuid4().hex
    try:
        take(upload, path)
        found = sniffed(path, file_name)
        with transaction.atomic():
            source, _is_new = Source.objects.get_or_create(
                monitor=monitor, kind=SourceKind.FILE, name=(name.strip() or file_name)[:120]
            )
            made = Backfill.objects.create(
                source=source,
                file_name=file_name,
                file_path=str(path.relative_to(home())),
                options=found.options.as_mapping(),
                columns=list(found.columns),
                mapping=guessed(found.columns),
                created_by=actor.user,
            )
            audit(actor=actor, action="source.backfill", obj=source, file=file_name)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return made


def guessed(columns: Iterable[str]) -> dict[str, str]:
    """Field -> the column that is called like it."""
    known = {column.strip().casefold(): column for column in reversed(list(columns))}
    return {field: next((known[name] for name in names if name in known), "") for field, names in NAMES.items()}


@transaction.atomic
def start_backfill(*, actor: Actor, backfill: Backfill, mapping: Mapping[str, str] | None = None) -> Backfill:
    """Queue the reading; asked twice it is the same job. Refused without a title or a body, or for columns that are not there."""
    found = (
        Backfill.objects.select_for_update(of=("self",))
        .select_related("source__monitor__workspace")
        .get(pk=backfill.pk)
    )
    if found.job_id is not None:
        return found
    found.mapping = _checked(found, found.mapping if mapping is None else mapping)
    found.job = jobs.create(
        kind="sentiment.backfill",
        queue="io",
        workspace=found.source.monitor.workspace,
        title=_title(found),
        by=actor.user,
        page=f"monitors/backfills/{found.pk}",
        unit="rows",
        can_pause=True,
    )
    found.save(update_fields=["mapping", "job"])
    return found


def _title(found: Backfill) -> str:
    monitor = found.source.monitor
    if monitor.is_restricted:  # the name of a file may tell whom it is about
        return say("Read a file into {monitor}", monitor=monitor.open_name)
    return say("Read {file} into {monitor}", file=found.file_name, monitor=monitor.name)


def _checked(backfill: Backfill, mapping: Mapping[str, str]) -> dict[str, str]:
    filled = {field: column for field, column in mapping.items() if column}
    for field, column in filled.items():
        if field not in FIELDS:
            raise Refused("unknown_value", say("Choose one of: {values}", values=", ".join(FIELDS)), field="mapping")
        if column not in backfill.columns:
            raise Refused("no_column", say("The file has no column “{column}”.", column=column), field=field)
    if not filled.get("title") and not filled.get("body"):
        raise Refused("no_text", say("Say which column holds the title or the text."), field="title")
    return filled


def previewed(backfill: Backfill, *, now: datetime) -> tuple[list[tuple[int, Item | None, str]], list[str]]:
    """(row, the article it becomes or why it is refused) of the first rows, and what is wrong with the file."""
    if not backfill.file_path:
        raise conflict("file_gone", say("The file was read and is not kept any more."))
    rows, problems = first_rows(home() / backfill.file_path, options_of(backfill), PREVIEWED)
    return [(row.number, *item_of(row, backfill.mapping, now=now, zone=_zone(backfill))) for row in rows], problems


def options_of(backfill: Backfill) -> ReadOptions:
    """How its file is read."""
    return read_options(backfill.options)


def item_of(row: RawRow, mapping: Mapping[str, str], *, now: datetime, zone: ZoneInfo) -> tuple[Item | None, str]:
    """(the article a row tells, "") or (None, why it tells none). Its time is read as pages are, in the source's zone."""
    told = {field: _text(row.values.get(column)) for field, column in mapping.items() if column}
    title, body = told.get("title", "").strip()[:1_000], told.get("body", "")[:LONGEST_BODY]
    if not title and not body.strip():
        return None, say("There is neither a title nor a text.")
    written = told.get("published_at", "")
    moment = read_moment(written, now=now, zone=zone) if written.strip() else None
    if written.strip() and moment is None:
        return None, say("The time “{time}” cannot be read.", time=written[:60])
    if moment is not None and moment.at > now:
        return None, say("It is said to be published in the future.")
    name = (
        told.get("external_id") or told.get("url") or hashlib.sha256(f"{title}\n{body}\n{written}".encode()).hexdigest()
    )
    url = told.get("url", "")
    return Item(
        external_id=name[:2_000],
        url=url if url.startswith(("http://", "https://")) else "",
        title=title,
        body=body,
        published_at=moment.at if moment else None,
        confidence=moment.confidence if moment else Confidence.NONE,
        author=told.get("author", ""),
        language=told.get("language", "")[:10],
    ), ""


def _text(value: Any) -> str:
    return "" if value is None else str(value).replace("\0", "")


def _zone(backfill: Backfill) -> ZoneInfo:
    return ZoneInfo(backfill.source.time_zone or backfill.source.monitor.time_zone)


def store_rows(*, run: Run, backfill: Backfill, rows: list[RawRow | RowError], now: datetime) -> None:
    """Take the next rows and remember how far the file is read, both or neither."""
    items, refused = [], []
    for row in rows:
        item, reason = (
            (None, row.message)
            if isinstance(row, RowError)
            else item_of(row, backfill.mapping, now=now, zone=_zone(backfill))
        )
        if item is None:
            refused.append({"row": row.number, "message": reason})
        else:
            items.append(item)
    with run.fenced():
        taken = ingest(backfill.source, items, now=now, is_history=True)
        new = sum(each.state == "created" for each in taken)
        backfill.new_count += new
        backfill.seen_count += len(taken) - new
        backfill.refused_count += len(refused)
        backfill.row_count += len(rows)
        backfill.problems = [*backfill.problems, *refused][:PROBLEMS_KEPT]
        backfill.position = list(position_of(rows[-1]))
        backfill.save(update_fields=["new_count", "seen_count", "refused_count", "row_count", "problems", "position"])


def position_of(row: RawRow | RowError) -> tuple[int, ...]:
    """Where the file goes on behind a row."""
    return tuple(row.position)


def finish_backfill(*, run: Run, backfill: Backfill) -> dict[str, Any]:
    """The file is read, and goes."""
    path: Path = home() / backfill.file_path
    with run.fenced():
        Backfill.objects.filter(pk=backfill.pk).update(file_path="")
    path.unlink(missing_ok=True)
    return {"rows": backfill.row_count, "new": backfill.new_count, "refused": backfill.refused_count}


def forget_backfill_files(*, before: datetime) -> int:
    """Let go of files that nobody started to read; how many there were."""
    old = list(Backfill.objects.filter(job=None, created_at__lt=before).exclude(file_path=""))
    for each in old:
        (home() / each.file_path).unlink(missing_ok=True)
    Backfill.objects.filter(pk__in=[each.pk for each in old]).delete()
    return len(old)
