"""REST endpoints of the accounts app."""

from django.urls import path

from apps.accounts import api, api_people

urlpatterns = [
    path("me", api.MeView.as_view()),
    path("me/sessions", api_people.SessionViewSet.as_view({"get": "list"})),
    path("me/sessions/<int:pk>", api_people.SessionViewSet.as_view({"delete": "destroy"})),
    path("people", api_people.PeopleViewSet.as_view({"get": "list"})),
    path("people/<int:pk>", api_people.PeopleViewSet.as_view({"patch": "partial_update"})),
    path("workspaces", api_people.NewWorkspaceView.as_view({"post": "create"})),
    path("workspace", api.WorkspaceDetailView.as_view()),
    path("members", api.MemberViewSet.as_view({"get": "list"})),
    path(
        "members/<int:pk>",
        api.MemberViewSet.as_view({"get": "retrieve", "patch": "partial_update", "delete": "destroy"}),
    ),
    path("invitations", api.InvitationViewSet.as_view({"get": "list", "post": "create"})),
    path("invitations/<int:pk>", api.InvitationViewSet.as_view({"delete": "destroy"})),
    path("api-keys", api.ApiKeyViewSet.as_view({"get": "list", "post": "create"})),
    path(
        "api-keys/<int:pk>",
        api.ApiKeyViewSet.as_view({"get": "retrieve", "patch": "partial_update", "delete": "destroy"}),
    ),
    path("audit", api.AuditViewSet.as_view({"get": "list"})),
    path("audit/export.<str:kind>", api.AuditExportView.as_view({"get": "export"})),
]
