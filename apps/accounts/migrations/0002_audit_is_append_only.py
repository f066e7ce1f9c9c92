"""The audit trail refuses UPDATE and DELETE in the database itself."""

from django.db import migrations

FORBID = """
CREATE FUNCTION lingxi_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('lingxi.retention', true) = 'on' AND TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'the audit trail is append-only' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE ON accounts_auditentry
FOR EACH ROW EXECUTE FUNCTION lingxi_refuse_change();
"""
ALLOW = "DROP TRIGGER audit_is_append_only ON accounts_auditentry; DROP FUNCTION lingxi_refuse_change();"


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]
    operations = [migrations.RunSQL(FORBID, ALLOW)]
