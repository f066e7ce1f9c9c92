"""Rows name the version that made them, and hold answers of chat versions beside labels."""

import django.db.models.deletion
from django.db import migrations, models

FINISH = [
    ("stop", "Ended by the model"),
    ("length", "Cut at the longest length"),
    ("time", "Cut when the time was over"),
    ("too_long", "The prompt leaves no room"),
    ("unreadable", "The model cannot read this chat"),
]
FILL = """
UPDATE inference_prediction row SET model_version_id = batch.model_version_id
FROM inference_batchjob batch WHERE batch.id = row.batch_job_id;
SET CONSTRAINTS ALL IMMEDIATE;
"""


def version_key(**options):
    return models.ForeignKey(
        on_delete=django.db.models.deletion.RESTRICT, related_name="+", to="registry.modelversion", **options
    )


class Migration(migrations.Migration):
    dependencies = [
        ("inference", "0002_sentences_in_no_language"),
        ("registry", "0003_dataset_version"),
    ]

    operations = [
        migrations.AddField("batchjob", "max_new_tokens", models.PositiveIntegerField(default=256)),
        migrations.AddField("onlinerequest", "max_new_tokens", models.PositiveIntegerField(default=256)),
        migrations.AddField("onlinerequest", "messages", models.JSONField(blank=True, default=list)),
        migrations.AlterField("onlinerequest", "texts", models.JSONField(blank=True, default=list)),
        migrations.AddField("prediction", "messages", models.JSONField(null=True)),
        migrations.AddField("prediction", "answer", models.TextField(blank=True, default="", db_default="")),
        migrations.AddField(
            "prediction", "finish", models.CharField(blank=True, choices=FINISH, default="", db_default="", max_length=10)
        ),
        migrations.AddField("prediction", "answer_tokens", models.PositiveIntegerField(null=True)),
        migrations.AlterField("prediction", "probability", models.FloatField(null=True)),
        migrations.AddField("prediction", "model_version", version_key(null=True)),
        migrations.RunSQL(FILL, migrations.RunSQL.noop, elidable=True),
        migrations.AlterField("prediction", "model_version", version_key()),
    ]
