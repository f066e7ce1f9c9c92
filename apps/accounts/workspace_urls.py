"""Pages of the accounts app inside a workspace: settings, members, keys, audit trail."""

from django.urls import path

from apps.accounts.views import audit, keys, members, settings

app_name = "accounts"

urlpatterns = [
    path("", settings.general, name="settings"),
    path("limits", settings.limits, name="limits"),
    path("roles", settings.roles, name="roles"),
    path("delete", settings.delete, name="delete"),
    path("members", members.members, name="members"),
    path("members/<int:pk>/role", members.change_role, name="member_role"),
    path("members/<int:pk>/remove", members.remove, name="member_remove"),
    path("leave", members.leave, name="leave"),
    path("invitations", members.invite, name="invite"),
    path("invitations/<int:pk>/revoke", members.revoke_invitation, name="invitation_revoke"),
    path("keys", keys.keys, name="keys"),
    path("keys/create", keys.create, name="key_create"),
    path("keys/<int:pk>/limits", keys.limits, name="key_limits"),
    path("keys/<int:pk>/revoke", keys.revoke, name="key_revoke"),
    path("audit", audit.trail, name="audit"),
    path("audit/export.<str:kind>", audit.export, name="audit_export"),
]
