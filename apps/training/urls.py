"""Pages of the training app."""

from django.urls import path

from apps.training import views

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
    path("<int:pk>/reproduce", views.reproduce, name="reproduce"),
    path("compare", views.compare, name="compare"),
]
