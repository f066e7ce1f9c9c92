"""Rows of chat versions: given and written answer, and how many tokens were measured."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("evaluation", "0001_initial")]

    operations = [
        migrations.AddField("evaluationjob", "max_new_tokens", models.PositiveIntegerField(default=128)),
        migrations.AddField("exampleresult", "gold_text", models.TextField(default="", db_default="")),
        migrations.AddField("exampleresult", "predicted_text", models.TextField(default="", db_default="")),
        migrations.AddField("exampleresult", "answer_tokens", models.PositiveIntegerField(null=True)),
    ]
