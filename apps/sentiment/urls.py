"""Pages of the sentiment app."""

from django.urls import path

from apps.sentiment import views, views_why

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
    path("articles/<int:pk>", views.article, name="article"),
    path("scores/<int:pk>/why", views_why.ask, name="why"),
    path("why/<int:pk>", views_why.told, name="why_told"),
    path("sources/<int:pk>", views.source, name="source"),
    path("sources/<int:pk>/read", views.read_now, name="read_now"),
    path("sources/<int:pk>/remove", views.remove_source, name="remove_source"),
]
