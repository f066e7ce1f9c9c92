"""Pages of the dashboard app."""

from django.urls import path

from apps.dashboard import lineage_views, schedule_views, views

app_name = "dashboard"

urlpatterns = [
    path("", views.home, name="home"),
    path("lineage/models/<int:pk>", lineage_views.model, name="lineage_model"),
    path("lineage/data/<int:pk>", lineage_views.data, name="lineage_data"),
    path("schedules", schedule_views.schedules, name="schedules"),
    path("schedules/<int:pk>", schedule_views.edit, name="schedule"),
    path("schedules/<int:pk>/run", schedule_views.run, name="schedule_run"),
    path("schedules/<int:pk>/switch", schedule_views.switch, name="schedule_switch"),
    path("schedules/<int:pk>/delete", schedule_views.delete, name="schedule_delete"),
    path("jobs", views.jobs, name="jobs"),
    path("jobs/<int:pk>", views.job, name="job"),
    path("jobs/<int:pk>/progress", views.job_progress, name="job_progress"),
    path("jobs/<int:pk>/log", views.job_log, name="job_log"),
    path("jobs/<int:pk>/cancel", views.job_cancel, name="job_cancel"),
    path("jobs/<int:pk>/pause", views.job_pause, name="job_pause"),
    path("jobs/<int:pk>/resume", views.job_resume, name="job_resume"),
    path("jobs/<int:pk>/retry", views.job_retry, name="job_retry"),
    path("jobs/<int:pk>/priority", views.job_prioritise, name="job_prioritise"),
]
