"""Pages of the sentiment app."""

from django.urls import path

from apps.sentiment import views, views_alerts, views_corrections, views_digests, views_rules, views_why

app_name = "sentiment"

urlpatterns = [
    path("", views.index, name="list"),
    path("new", views.edit, name="new"),
    path("<int:pk>", views.monitor, name="monitor"),
    path("<int:pk>/edit", views.edit, name="edit"),
    path("<int:pk>/delete", views.delete, name="delete"),
    path("<int:pk>/score-again", views.again, name="again"),
    path("<int:pk>/articles", views.articles, name="articles"),
    path("<int:pk>/sources/new", views.new_source, name="new_source"),
    path("<int:pk>/digest", views_digests.digest, name="digest"),
    path("<int:pk>/digest.pdf", views_digests.pdf, name="digest_pdf"),
    path("<int:pk>/digest/schedule", views_digests.schedule, name="digest_schedule"),
    path("articles/<int:pk>", views.article, name="article"),
    path("articles/<int:pk>/correct", views_corrections.correct, name="correct"),
    path("<int:pk>/corrections", views_corrections.corrections, name="corrections"),
    path("<int:pk>/corrections/lesson", views_corrections.lesson, name="lesson"),
    path("<int:pk>/corrections/lessons", views_corrections.make_lesson, name="make_lesson"),
    path("lessons/<int:pk>/train", views_corrections.train, name="train_lesson"),
    path("scores/<int:pk>/why", views_why.ask, name="why"),
    path("why/<int:pk>", views_why.told, name="why_told"),
    path("sources/<int:pk>", views.source, name="source"),
    path("sources/<int:pk>/read", views.read_now, name="read_now"),
    path("sources/<int:pk>/remove", views.remove_source, name="remove_source"),
    path("alerts", views_alerts.everywhere, name="inbox"),
    path("<int:pk>/alerts", views_alerts.index, name="alerts"),
    path("alerts/<int:pk>", views_alerts.alert, name="alert"),
    path("alerts/<int:pk>/acknowledge", views_alerts.acknowledge, name="acknowledge"),
    path("alerts/<int:pk>/close", views_alerts.close, name="close_alert"),
    path("alerts/<int:pk>/assign", views_alerts.assign, name="assign_alert"),
    path("alerts/<int:pk>/note", views_alerts.note, name="note_alert"),
    path("alerts/<int:pk>/judge", views_alerts.judge, name="judge_alert"),
    path("<int:pk>/rules", views_rules.index, name="rules"),
    path("<int:pk>/rules/new", views_rules.choose, name="choose_rule"),
    path("<int:pk>/rules/new/<slug:kind>", views_rules.new, name="new_rule"),
    path("<int:pk>/rules/back-test/<slug:kind>", views_rules.back_test, name="back_test"),
    path("rules/<int:pk>", views_rules.rule, name="rule"),
    path("rules/<int:pk>/switch", views_rules.switch, name="switch_rule"),
    path("rules/<int:pk>/delete", views_rules.delete, name="delete_rule"),
    path("<int:pk>/silences", views_rules.silence, name="silence"),
    path("silences/<int:pk>/end", views_rules.end_silence, name="end_silence"),
    path("<int:pk>/replays", views_rules.replays, name="replays"),
    path("replays/<int:pk>", views_rules.replay, name="replay"),
]
