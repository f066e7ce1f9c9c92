"""An empty database is built at once and is the one that migrations make step by step."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import AddField, Migration, RunPython, RunSQL, SeparateDatabaseAndState
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.utils import ProgrammingError
from psycopg import sql

from core.empty_database import build, need_steps

FORMER = {  # an earlier installation: where these rooms stood when all others stood where they stand
    "core": "0002_sentences_in_no_language",
    "datasets": "0005_imports_of_requests",
    "sentiment": "0003_alerts",
}
MADE_BY_STEPS = {  # what the same migrations made when they were run one by one from the first on
    "column": 1460,
    "constraint": 534,
    "index": 466,
    "trigger": 9,
    "function": 9,
    "sequence": 99,
}
MOVES_ROWS = re.compile(r"(UPDATE|DELETE|INSERT|WITH|SET CONSTRAINTS)\b", re.IGNORECASE)
CATALOGUE = """
SELECT 'column', attrelid::regclass || '.' || attname,
    concat_ws(' ', format_type(atttypid, atttypmod), attnotnull, attidentity, attgenerated, attcollation::regcollation,
              pg_get_expr(adbin, adrelid))
FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid AND relkind IN ('r', 'v', 'm', 'S')
LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE relnamespace = 'public'::regnamespace AND attnum > 0 AND NOT attisdropped
UNION ALL
SELECT 'constraint', conrelid::regclass || '.' || conname, concat_ws(' ', pg_get_constraintdef(oid), convalidated)
FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
UNION ALL
SELECT 'index', indexrelid::regclass::text, concat_ws(' ', pg_get_indexdef(indexrelid), indisvalid)
FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE relnamespace = 'public'::regnamespace
UNION ALL
SELECT 'trigger', tgrelid::regclass || '.' || tgname, concat_ws(' ', pg_get_triggerdef(oid), tgenabled)
FROM pg_trigger WHERE NOT tgisinternal
UNION ALL
SELECT 'function', oid::regprocedure::text, pg_get_functiondef(oid)
FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = pg_proc.oid AND deptype = 'e')
UNION ALL
SELECT 'sequence', seqrelid::regclass::text, concat_ws(' ', format_type(seqtypid, NULL), seqstart, seqincrement, seqmax)
FROM pg_sequence
UNION ALL
SELECT 'extension', extname, extversion FROM pg_extension
UNION ALL
SELECT 'applied', app || '.' || name, '' FROM django_migrations
UNION ALL
SELECT 'permission', app_label || '.' || codename, model
FROM auth_permission JOIN django_content_type type ON type.id = content_type_id
"""


@pytest.fixture
def another(django_db_blocker: Any) -> Iterator[Callable[[], BaseDatabaseWrapper]]:
    """Makes empty databases beside that of the tests, each with a connection."""
    made: list[str] = []

    def make() -> BaseDatabaseWrapper:
        name = f"beside_{os.getpid()}_{len(made)}"
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        connections.settings[name] = {**connections.settings["default"], "NAME": name}
        made.append(name)
        return connections[name]

    with django_db_blocker.unblock(), psycopg.connect(settings.DATABASE_URL, autocommit=True) as admin:
        yield make
        for name in made:
            connections[name].close()
            del connections[name], connections.settings[name]
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def empty(another: Callable[[], BaseDatabaseWrapper]) -> BaseDatabaseWrapper:
    """An empty database."""
    return another()


def catalogue(of: BaseDatabaseWrapper) -> set[tuple[str, str, str]]:
    """Everything that is in a database besides rows, each with its definition."""
    with of.cursor() as cursor:
        cursor.execute(CATALOGUE)
        return set(cursor.fetchall())


def test_an_installation_of_before_goes_on_step_by_step_to_the_same_database(
    another: Callable[[], BaseDatabaseWrapper],
) -> None:
    former, fresh = another(), another()
    leaves = MigrationLoader(former).graph.leaf_nodes()
    assert build(former, [(room, FORMER.get(room, last)) for room, last in leaves])

    found = Counter(kind for kind, _name, _definition in catalogue(former))
    assert {kind: found[kind] for kind in MADE_BY_STEPS} == MADE_BY_STEPS

    for each in (former, fresh):
        call_command("migrate", database=each.alias, verbosity=0)

    stepped, at_once = catalogue(former), catalogue(fresh)
    assert stepped - at_once == set()
    assert at_once - stepped == set()


def test_a_database_that_holds_a_table_is_left_to_the_steps(empty: BaseDatabaseWrapper) -> None:
    with empty.cursor() as cursor:
        cursor.execute("CREATE TABLE of_somebody_else ()")

    built = build(empty)

    assert built is False
    assert empty.introspection.table_names() == ["of_somebody_else"]


def test_who_wants_one_room_gets_one_room(empty: BaseDatabaseWrapper) -> None:
    call_command("migrate", "contenttypes", database=empty.alias, verbosity=0)

    assert sorted(empty.introspection.table_names()) == ["django_content_type", "django_migrations"]


def test_what_fails_on_the_way_leaves_the_database_empty(empty: BaseDatabaseWrapper) -> None:
    with empty.cursor() as cursor:
        cursor.execute("CREATE FUNCTION lingxi_refuse_change() RETURNS int LANGUAGE sql AS 'SELECT 1'")

    with pytest.raises(ProgrammingError, match="lingxi_refuse_change"):
        call_command("migrate", database=empty.alias, verbosity=0)

    assert empty.introspection.table_names() == []


def test_of_two_at_the_same_time_one_builds(empty: BaseDatabaseWrapper) -> None:
    def one(_number: int) -> bool:
        try:
            return build(connections[empty.alias])  # a thread has a connection of its own
        finally:
            connections[empty.alias].close()

    with ThreadPoolExecutor(2) as threads:
        built = list(threads.map(one, range(2)))

    assert sorted(built) == [False, True]


@pytest.mark.parametrize(
    ("operation", "atomic", "fits"),
    [
        (AddField("job", "note", models.TextField()), True, True),
        (RunSQL("CREATE FUNCTION f() ..."), True, True),
        (RunSQL("CREATE INDEX CONCURRENTLY ..."), False, False),
        (RunSQL("ALTER TABLE ...", state_operations=[AddField("job", "note", models.TextField())]), True, False),
        (RunSQL("UPDATE ...", elidable=True), False, True),
        (RunPython(RunPython.noop), True, False),
        (RunPython(RunPython.noop, elidable=True), True, True),
        (SeparateDatabaseAndState([RunSQL("ALTER TABLE ...")]), True, False),
    ],
)
def test_what_the_last_state_does_not_tell_is_left_to_the_steps(operation: Operation, atomic: bool, fits: bool) -> None:
    migration = Migration("0099_later", "bots")
    migration.operations, migration.atomic = [operation], atomic

    assert need_steps([migration]) == ([] if fits else ["bots.0099_later"])


def test_every_migration_of_today_is_told_by_the_last_state() -> None:
    """A new one that is not makes each first start, and each process of the tests, 18 s longer: see docs/adr/0016."""
    migrations = MigrationLoader(None).disk_migrations.values()

    assert need_steps(migrations) == []


def test_sql_that_moves_rows_is_left_out_of_an_empty_database_and_no_other() -> None:
    wrong, left_out = [], 0
    for migration in MigrationLoader(None).disk_migrations.values():
        for operation in migration.operations:
            if isinstance(operation, RunSQL):
                script = operation.sql if isinstance(operation.sql, str) else ";".join(operation.sql)
                statements = [each.strip() for each in script.split(";") if each.strip()]
                moves = [bool(MOVES_ROWS.match(each)) for each in statements]
                left_out += operation.elidable
                if operation.elidable != moves[0] or (operation.elidable and not all(moves)):
                    wrong.append(str(migration))

    assert left_out
    assert wrong == []
