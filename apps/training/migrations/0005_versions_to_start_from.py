"""A run may start from a version of the workspace; what was the recipe "chat" is now a case of "sft"."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0004_protected_aliases"),
        ("training", "0004_sweeps"),
    ]

    operations = [
        migrations.AddField(
            model_name="trainingjob",
            name="base_version",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="continued_by",
                to="registry.modelversion",
            ),
        ),
        migrations.RunSQL(
            "UPDATE training_trainingjob SET recipe = 'sft' WHERE recipe = 'chat'",
            migrations.RunSQL.noop,
            elidable=True,
        ),
    ]
