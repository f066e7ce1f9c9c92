"""Build an empty database as its migrations leave it: at once, not migration by migration.

Django runs migrations one operation after the other, and before most of some 450 operations it renders anew every model
that is related to the changed one. An empty database holds no row that would have to come along, so its tables can be
made from the last state alone. Installations that hold something go on step by step, as ever.
"""

from collections.abc import Iterable, Iterator

from django.contrib.postgres.operations import CreateExtension
from django.db import router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import Migration, RunPython, RunSQL
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.models import Model

# operations that do to the database what they do to the state
DESCRIBED = {"django.db.migrations.operations.models", "django.db.migrations.operations.fields"}
# Python of other packages that only rewrites rows; ours says so itself, by elidable=True
REWRITES_ROWS = {
    ("account", "0006_emailaddress_lower"),
    ("account", "0008_emailaddress_unique_primary_email_fixup"),
    ("auth", "0011_update_proxy_permissions"),
    ("contenttypes", "0002_remove_content_type_name"),
}


def build(connection: BaseDatabaseWrapper, targets: Iterable[tuple[str, str]] | None = None) -> bool:
    """Make the tables as `targets` leave them (app label and name; all migrations if not given) and record those as applied.

    All or nothing; of two at the same time one builds. False, with nothing done, when the database holds a table, or a
    migration must be run to know what it does (`need_steps`). Content types and permissions are for `migrate` to make.
    """
    executor = MigrationExecutor(connection)
    goals = list(targets or executor.loader.graph.leaf_nodes())
    plan = [migration for migration, _backwards in executor.migration_plan(goals)]
    if executor.loader.detect_conflicts() or need_steps(plan):
        return False
    with transaction.atomic(using=connection.alias):
        if not _is_empty_and_ours(connection):
            return False
        state = executor.loader.project_state(goals)
        _run(connection, state, extensions(plan))
        with connection.schema_editor() as editor:
            for model in tables(state, connection):
                editor.create_model(model)
        _run(connection, state, lasting_sql(plan))
        for migration in plan:
            for label, name in migration.replaces or [(migration.app_label, migration.name)]:
                executor.recorder.record_applied(label, name)
    return True


def need_steps(plan: Iterable[Migration]) -> list[str]:
    """Migrations with an operation that the last state does not tell of: Python, SQL with a state of its own, ..."""
    return [
        str(migration)
        for migration in plan
        if not all(_is_told_by_state(migration, each) for each in migration.operations)
    ]


def _is_told_by_state(migration: Migration, operation: Operation) -> bool:
    if operation.elidable:  # it only moves rows
        return True
    if isinstance(operation, RunSQL):
        return migration.atomic and not operation.state_operations
    if isinstance(operation, RunPython):
        return (migration.app_label, migration.name) in REWRITES_ROWS
    return isinstance(operation, CreateExtension) or type(operation).__module__ in DESCRIBED


def tables(state: ProjectState, connection: BaseDatabaseWrapper) -> Iterator[type[Model]]:
    """Models of the state that have a table of their own here, in the order of their migrations."""
    for label, name in list(state.models):
        model = state.apps.get_model(label, name)
        if model._meta.can_migrate(connection) and router.allow_migrate_model(connection.alias, model):
            yield model


def extensions(plan: Iterable[Migration]) -> Iterator[tuple[str, Operation]]:
    """What indexes of the tables may need; each with its app label."""
    return _operations(plan, CreateExtension)


def lasting_sql(plan: Iterable[Migration]) -> Iterator[tuple[str, Operation]]:
    """Triggers, functions and what else models cannot say: made when all tables are there."""
    return ((label, each) for label, each in _operations(plan, RunSQL) if not each.elidable)


def _operations(plan: Iterable[Migration], kind: type[Operation]) -> Iterator[tuple[str, Operation]]:
    return (
        (migration.app_label, each) for migration in plan for each in migration.operations if isinstance(each, kind)
    )


def _is_empty_and_ours(connection: BaseDatabaseWrapper) -> bool:
    """Whether there is no table, and nobody else makes one by `build` until our transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('an empty database is built'))")
        return not connection.introspection.table_names(cursor)


def _run(connection: BaseDatabaseWrapper, state: ProjectState, operations: Iterable[tuple[str, Operation]]) -> None:
    with connection.schema_editor() as editor:
        for label, operation in operations:
            operation.database_forwards(label, editor, state, state)
