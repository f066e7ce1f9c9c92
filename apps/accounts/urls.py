"""Pages of the accounts app outside a workspace: log-in, profile, invitations."""

from django.urls import include, path

urlpatterns = [
    path("accounts/", include("allauth.urls")),
]
