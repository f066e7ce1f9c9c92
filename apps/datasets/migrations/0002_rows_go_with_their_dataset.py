"""Examples go with their dataset inside the database, and a frozen version refuses to change."""

from django.db import migrations

# Django's own cascade would load a million rows into memory before it deletes them.
_CASCADE = """
DO $$
DECLARE name text;
BEGIN
    SELECT conname INTO name FROM pg_constraint
    WHERE conrelid = '{table}'::regclass AND contype = 'f' AND confrelid = '{target}'::regclass;
    EXECUTE format('ALTER TABLE {table} DROP CONSTRAINT %I', name);
    EXECUTE format(
        'ALTER TABLE {table} ADD CONSTRAINT %I FOREIGN KEY ({column}) REFERENCES {target} (id) ON DELETE {action} '
        'DEFERRABLE INITIALLY DEFERRED', name);
END $$;
"""


def cascade(table: str, column: str, target: str) -> migrations.RunSQL:
    values = {"table": table, "column": column, "target": target}
    return migrations.RunSQL(
        _CASCADE.format(**values, action="CASCADE"), _CASCADE.format(**values, action="NO ACTION")
    )


class Migration(migrations.Migration):
    dependencies = [("datasets", "0001_datasets")]

    operations = [
        cascade("datasets_example", "dataset_id", "datasets_dataset"),
        cascade("datasets_examplerevision", "example_id", "datasets_example"),
        migrations.RunSQL(
            """
            CREATE FUNCTION datasets_version_is_frozen() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF OLD.frozen_at IS NOT NULL AND
                    (NEW.dataset_id, NEW.number, NEW.content_hash, NEW.path, NEW.file_hash, NEW.file_bytes,
                     NEW.row_count, NEW.counts, NEW.labels, NEW.profile, NEW.diff, NEW.frozen_at)
                    IS DISTINCT FROM
                    (OLD.dataset_id, OLD.number, OLD.content_hash, OLD.path, OLD.file_hash, OLD.file_bytes,
                     OLD.row_count, OLD.counts, OLD.labels, OLD.profile, OLD.diff, OLD.frozen_at)
                THEN
                    RAISE EXCEPTION 'a frozen dataset version cannot change';
                END IF;
                RETURN NEW;
            END $$;
            CREATE TRIGGER datasets_version_is_frozen BEFORE UPDATE ON datasets_datasetversion
            FOR EACH ROW EXECUTE FUNCTION datasets_version_is_frozen();
            """,
            """
            DROP TRIGGER datasets_version_is_frozen ON datasets_datasetversion;
            DROP FUNCTION datasets_version_is_frozen();
            """,
        ),
        migrations.RunSQL(
            """
            CREATE FUNCTION datasets_revision_refuses() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'the history of an example cannot change'; END $$;
            CREATE TRIGGER datasets_revision_append_only BEFORE UPDATE ON datasets_examplerevision
            FOR EACH ROW WHEN (OLD.record IS DISTINCT FROM NEW.record OR OLD.at IS DISTINCT FROM NEW.at)
            EXECUTE FUNCTION datasets_revision_refuses();
            """,
            """
            DROP TRIGGER datasets_revision_append_only ON datasets_examplerevision;
            DROP FUNCTION datasets_revision_refuses();
            """,
        ),
    ]
