"""Versions are frozen and alias history is append-only in the database itself."""

from django.db import migrations

FREEZE = """
CREATE FUNCTION registry_refuse_version_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE free text[] := ARRAY['description', 'state', 'verified_at', 'created_by_id'];
BEGIN
    IF to_jsonb(NEW) - free IS DISTINCT FROM to_jsonb(OLD) - free THEN
        RAISE EXCEPTION 'a model version is frozen' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER model_version_is_frozen BEFORE UPDATE ON registry_modelversion
FOR EACH ROW EXECUTE FUNCTION registry_refuse_version_change();

CREATE FUNCTION registry_refuse_history_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('lingxi.retention', true) = 'on' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'the history of aliases is append-only' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER alias_move_is_append_only BEFORE UPDATE OR DELETE ON registry_aliasmove
FOR EACH ROW EXECUTE FUNCTION registry_refuse_history_change();
"""
THAW = """
DROP TRIGGER alias_move_is_append_only ON registry_aliasmove;
DROP FUNCTION registry_refuse_history_change();
DROP TRIGGER model_version_is_frozen ON registry_modelversion;
DROP FUNCTION registry_refuse_version_change();
"""


class Migration(migrations.Migration):
    dependencies = [("registry", "0001_initial")]
    operations = [migrations.RunSQL(FREEZE, THAW)]
