"""Pages of receivers."""

from django.urls import path

from apps.notifications import views_receivers as views

app_name = "receivers"

urlpatterns = [
    path("", views.index, name="list"),
    path("new", views.new, name="new"),
    path("preview", views.preview, name="preview"),
    path("<int:pk>", views.one, name="one"),
    path("<int:pk>/edit", views.edit, name="edit"),
    path("<int:pk>/test", views.test, name="test"),
    path("<int:pk>/rotate", views.rotate, name="rotate"),
    path("<int:pk>/delete", views.delete, name="delete"),
    path("deliveries/<int:pk>/resend", views.resend, name="resend"),
]
