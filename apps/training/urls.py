"""Pages of the training app."""

from django.urls import path

from apps.training import views, views_sweeps

app_name = "training"

urlpatterns = [
    path("", views.index, name="list"),
    path("new", views.new, name="new"),
    path("new/check", views.check, name="check"),
    path("preflights/<int:pk>", views.preflight, name="preflight"),
    path("<int:pk>", views.detail, name="detail"),
    path("<int:pk>/curves", views.curve_points, name="curves"),
    path("<int:pk>/live", views.live, name="live"),
    path("<int:pk>/seen", views.seen, name="seen"),
    path("<int:pk>/events", views.events, name="events"),
    path("<int:pk>/reproduce", views.reproduce, name="reproduce"),
    path("sweeps", views_sweeps.index, name="sweeps"),
    path("sweeps/new", views_sweeps.new, name="sweep_new"),
    path("sweeps/<int:pk>", views_sweeps.detail, name="sweep"),
    path("sweeps/<int:pk>/cancel", views_sweeps.cancel, name="sweep_cancel"),
    path("compare", views.compare, name="compare"),
]
