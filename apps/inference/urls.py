"""Pages of the inference app."""

from django.urls import path

from apps.inference import (
    batch_views,
    explain_views,
    feedback_views,
    guard_views,
    operations,
    playground,
    request_views,
    sample_views,
    usage_views,
    views,
)

app_name = "inference"

urlpatterns = [
    path("", views.index, name="list"),
    path("new", views.new, name="new"),
    path("<int:pk>", views.detail, name="detail"),
    path("<int:pk>/live", views.live, name="live"),
    path("<int:pk>/rows", views.rows, name="rows"),
    path("<int:pk>/file", views.file, name="file"),
    path("try/<int:version_pk>", views.ask, name="try"),
    path("asked/<int:pk>", views.asked, name="asked"),
    path("batches", batch_views.index, name="batches"),
    path("batches/<int:pk>", batch_views.detail, name="batch"),
    path("batches/<int:pk>/live", batch_views.live, name="batch_live"),
    path("batches/<int:pk>/cancel", batch_views.cancel, name="batch_cancel"),
    path("batches/<int:pk>/files/<slug:what>", batch_views.file, name="batch_file"),
    path("playground", playground.playground, name="playground"),
    path("playground/ask", playground.ask, name="playground-ask"),
    path("playground/<int:pk>/events", playground.events, name="playground-events"),
    path("playground/<int:pk>/stop", playground.stop, name="playground-stop"),
    path("usage", usage_views.index, name="usage"),
    path("usage/export.<str:kind>", usage_views.export, name="usage_export"),
    path("guards", guard_views.index, name="guards"),
    path("guards/new", guard_views.policy, name="guards_new"),
    path("guards/<int:pk>", guard_views.policy, name="guards_policy"),
    path("guards/<int:pk>/test", guard_views.test, name="guards_test"),
    path("guards/<int:pk>/delete", guard_views.delete, name="guards_delete"),
    path("operations", operations.operations, name="operations"),
    path("written/<int:pk>", views.written, name="written"),
    path("requests", request_views.written, name="requests"),
    path("requests/<int:pk>", request_views.generation, name="requests-one"),
    path("requests/<int:pk>/cancel", request_views.cancel, name="requests-cancel"),
    path("requests/sample", sample_views.sample, name="requests-sample"),
    path("requests/read", request_views.read, name="requests-read"),
    path("requests/read/<int:pk>", request_views.online, name="requests-read-one"),
    path("feedback/<str:target>/<int:index>", feedback_views.feedback, name="feedback"),
    path("how-it-works", explain_views.explain, name="explain"),
    path("how-it-works/<int:pk>", explain_views.explained, name="explained"),
]
