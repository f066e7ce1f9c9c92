"""REST endpoints of the notifications app."""

from django.urls import path

from apps.notifications import api

urlpatterns = [
    path("notices", api.NoticeViewSet.as_view({"get": "list"})),
    path("notices/unread", api.UnreadView.as_view()),
    path("notices/<int:pk>/read", api.NoticeViewSet.as_view({"post": "read"})),
]
