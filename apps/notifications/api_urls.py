"""REST endpoints of the notifications app."""

from typing import Any

from django.urls import path

from apps.notifications import api
from apps.notifications.api_receivers import DeliveryViewSet, ReceiverViewSet

ONE: dict[str, Any] = {"get": "retrieve", "patch": "partial_update", "delete": "destroy"}

urlpatterns = [
    path("notices", api.NoticeViewSet.as_view({"get": "list"})),
    path("notices/unread", api.UnreadView.as_view()),
    path("notices/<int:pk>/read", api.NoticeViewSet.as_view({"post": "read"})),
    path("receivers", ReceiverViewSet.as_view({"get": "list", "post": "create"})),
    path("receivers/<int:pk>", ReceiverViewSet.as_view(ONE)),
    path("receivers/<int:pk>/test", ReceiverViewSet.as_view({"post": "test"})),
    path("receivers/<int:pk>/rotate", ReceiverViewSet.as_view({"post": "rotate"})),
    path("receivers/<int:pk>/deliveries", ReceiverViewSet.as_view({"get": "deliveries"})),
    path("deliveries/<int:pk>", DeliveryViewSet.as_view({"get": "retrieve"})),
    path("deliveries/<int:pk>/resend", DeliveryViewSet.as_view({"post": "resend"})),
]
