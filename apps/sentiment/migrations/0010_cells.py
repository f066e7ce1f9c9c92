"""Where topics, entities, sources and languages meet: counted from now on as articles come, and here once for those that are there."""

import django.db.models.deletion
from django.db import migrations, models

# What services.meaning and services.buckets add up article by article, said at once: without a version as articles
# arrived, with one as it found them to be meant, towards an entity as it is spoken of.
FILL = """
WITH topics AS (
    SELECT DISTINCT article_id, topic_id AS topic FROM sentiment_articletopic WHERE is_current
    UNION ALL SELECT id, 0 FROM sentiment_article
), entities AS (
    SELECT article_id, entity_id AS entity,
           row_number() OVER (PARTITION BY article_id ORDER BY mention_count DESC, entity_id) AS place
    FROM sentiment_articleentity
    UNION ALL SELECT id, 0, 0 FROM sentiment_article
), crossings AS (
    SELECT article_id, topic, entity FROM topics JOIN entities USING (article_id) WHERE topic = 0 OR place <= 100
), meant AS (
    SELECT score.article_id, score.model_version_id, entity,
           CASE WHEN entity = 0 THEN score.sentiment
                ELSE COALESCE(dedicated.sentiment, own.sentiment, score.sentiment) END AS sentiment
    FROM sentiment_score score
    JOIN entities USING (article_id)
    LEFT JOIN LATERAL (
        SELECT sentiment FROM sentiment_targetscore target
        WHERE target.article_id = score.article_id AND target.entity_id = entity AND target.is_dedicated
        ORDER BY target.id DESC LIMIT 1
    ) dedicated ON true
    LEFT JOIN LATERAL (
        SELECT sentiment FROM sentiment_targetscore target
        WHERE target.article_id = score.article_id AND target.entity_id = entity AND NOT target.is_dedicated
          AND target.model_version_id = score.model_version_id
        ORDER BY target.id DESC LIMIT 1
    ) own ON true
), counted AS (
    SELECT article_id, topic, entity, NULL::bigint AS version, NULL AS sentiment FROM crossings
    UNION ALL
    SELECT article_id, topic, entity, model_version_id, sentiment FROM crossings JOIN meant USING (article_id, entity)
), moments AS (
    SELECT id AS article_id, 'published' AS clock, published_at AS at FROM sentiment_article
    UNION ALL SELECT id, 'received', received_at FROM sentiment_article WHERE NOT is_history
)
INSERT INTO sentiment_cell
    (monitor_id, model_version_id, clock, seconds, topic, entity, source, language, start_at,
     article_count, story_count, negative_count, neutral_count, positive_count, abstained_count)
SELECT article.monitor_id, version, clock, seconds, topic, entity, article.source_id, article.language,
       to_timestamp(floor(extract(epoch FROM at) / seconds) * seconds),
       count(*), count(*) FILTER (WHERE version IS NULL AND article.is_first),
       count(*) FILTER (WHERE sentiment = 'negative'), count(*) FILTER (WHERE sentiment = 'neutral'),
       count(*) FILTER (WHERE sentiment = 'positive'), count(*) FILTER (WHERE sentiment = 'abstained')
FROM counted
JOIN sentiment_article article ON article.id = counted.article_id
JOIN moments ON moments.article_id = counted.article_id
CROSS JOIN (VALUES (300), (3600)) AS sizes (seconds)
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
"""


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0007_remote_versions"),
        ("sentiment", "0009_lessons_by_aspect"),
    ]

    operations = [
        migrations.AlterField(
            model_name="bucket",
            name="monitor",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="%(class)ss",
                to="sentiment.monitor",
            ),
        ),
        migrations.CreateModel(
            name="Cell",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "clock",
                    models.CharField(choices=[("published", "Published"), ("received", "Received")], max_length=10),
                ),
                (
                    "seconds",
                    models.PositiveIntegerField(choices=[(300, "5 minutes"), (3600, "1 hour"), (86400, "1 day")]),
                ),
                ("start_at", models.DateTimeField()),
                ("article_count", models.PositiveIntegerField(default=0)),
                ("story_count", models.PositiveIntegerField(default=0)),
                ("negative_count", models.PositiveIntegerField(default=0)),
                ("neutral_count", models.PositiveIntegerField(default=0)),
                ("positive_count", models.PositiveIntegerField(default=0)),
                ("abstained_count", models.PositiveIntegerField(default=0)),
                ("topic", models.BigIntegerField(default=0)),
                ("entity", models.BigIntegerField(default=0)),
                ("source", models.BigIntegerField()),
                ("language", models.CharField(blank=True, max_length=10)),
                (
                    "model_version",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="registry.modelversion",
                    ),
                ),
                (
                    "monitor",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="%(class)ss",
                        to="sentiment.monitor",
                    ),
                ),
            ],
            options={
                "verbose_name": "cell",
                "indexes": [
                    models.Index(fields=["monitor", "clock", "seconds", "entity", "start_at"], name="cell_entity")
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=(
                            "monitor",
                            "clock",
                            "seconds",
                            "topic",
                            "entity",
                            "start_at",
                            "source",
                            "language",
                            "model_version",
                        ),
                        name="cell_once",
                        nulls_distinct=False,
                    )
                ],
            },
        ),
        migrations.AddField(
            model_name="alert",
            name="within",
            field=models.JSONField(blank=True, default=dict),
        ),
        migrations.AddField(
            model_name="rule",
            name="within",
            field=models.JSONField(blank=True, default=dict),
        ),
        migrations.AddField(
            model_name="replay",
            name="clock",
            field=models.CharField(
                choices=[("published", "Published"), ("received", "Received")], default="received", max_length=10
            ),
        ),
        migrations.RunSQL(FILL, migrations.RunSQL.noop, elidable=True),
    ]
