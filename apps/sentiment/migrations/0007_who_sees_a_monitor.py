from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('sentiment', '0006_expectations'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name='monitor',
            name='is_restricted',
            field=models.BooleanField(db_default=False, default=False, verbose_name='Only for named members'),
        ),
        migrations.AddField(
            model_name='monitor',
            name='members',
            field=models.ManyToManyField(blank=True, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='Members who see it'),
        ),
    ]
