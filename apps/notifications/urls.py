"""Pages of the notifications app."""

from django.urls import path

from apps.notifications import views

app_name = "notifications"

urlpatterns = [
    path("", views.notices, name="list"),
    path("menu", views.menu, name="menu"),
    path("count", views.count, name="count"),
    path("read", views.read_all, name="read_all"),
    path("<int:pk>/open", views.open_notice, name="open"),
]
