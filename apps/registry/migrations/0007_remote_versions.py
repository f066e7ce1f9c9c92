"""Versions that another server answers."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("registry", "0006_longer_names")]

    operations = [
        migrations.AlterField(
            model_name="modelversion",
            name="source",
            field=models.CharField(
                choices=[("training", "Training"), ("import", "Import"), ("remote", "Another server")], max_length=10
            ),
        ),
    ]
