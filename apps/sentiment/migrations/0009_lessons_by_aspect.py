from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('sentiment', '0008_saved_views'),
    ]

    operations = [
        migrations.AddField(
            model_name='lesson',
            name='aspect',
            field=models.CharField(choices=[('sentiment', 'How articles are meant'), ('topic', 'Topics'), ('target', 'How entities are spoken of')], db_default='sentiment', default='sentiment', max_length=10),
        ),
        migrations.AddField(
            model_name='lesson',
            name='left_count',
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name='lesson',
            name='model',
            field=models.CharField(blank=True, db_default='', default='', max_length=160),
        ),
    ]
