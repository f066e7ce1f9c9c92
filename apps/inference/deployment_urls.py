"""Pages of deployments."""

from django.urls import path

from apps.inference import deployment_views as views

app_name = "deployments"

urlpatterns = [
    path("", views.index, name="list"),
    path("new", views.new, name="new"),
    path("<int:pk>", views.detail, name="detail"),
    path("<int:pk>/settings", views.edit, name="edit"),
    path("<int:pk>/promote", views.promote, name="promote"),
    path("<int:pk>/roll-back", views.roll_back, name="roll_back"),
    path("<int:pk>/delete", views.delete, name="delete"),
]
