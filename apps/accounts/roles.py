"""Who may do what: one readable table of roles and permissions; API key scopes are the same names."""

from typing import Final

from django.utils.translation import gettext_lazy as _

OWNER, ADMIN, ANALYST, ANNOTATOR, AGENT, VIEWER = "owner", "admin", "analyst", "annotator", "agent", "viewer"

ROLE_NAMES: Final = {
    OWNER: _("Owner"),
    ADMIN: _("Admin"),
    ANALYST: _("Analyst"),
    ANNOTATOR: _("Annotator"),
    AGENT: _("Service agent"),
    VIEWER: _("Viewer"),
}

# permission: (meaning, roles that hold it)
PERMISSIONS: Final[dict[str, tuple[object, frozenset[str]]]] = {
    name: (meaning, frozenset(roles.split()))
    for name, meaning, roles in (
        (
            "workspace.read",
            _("See the workspace and its home page"),
            "owner admin analyst annotator agent viewer",
        ),
        ("workspace.manage", _("Change settings of the workspace"), "owner admin"),
        ("workspace.delete", _("Delete the workspace"), "owner"),
        ("members.read", _("See who is a member"), "owner admin analyst annotator agent viewer"),
        ("members.manage", _("Invite and remove members, change roles"), "owner admin"),
        ("keys.manage", _("Create and revoke API keys"), "owner admin"),
        ("audit.read", _("Read and export the audit trail"), "owner admin"),
        ("jobs.read", _("See jobs and their logs"), "owner admin analyst viewer"),
        ("jobs.manage", _("Cancel, pause, resume and retry jobs"), "owner admin analyst"),
        ("datasets.read", _("See datasets and their texts"), "owner admin analyst annotator viewer"),
        ("datasets.write", _("Import, edit, split and freeze datasets"), "owner admin analyst"),
        ("registry.read", _("See model versions"), "owner admin analyst viewer"),
        (
            "registry.write",
            _("Import, describe and delete model versions, move aliases"),
            "owner admin analyst",
        ),
        ("registry.approve", _("Approve a model version"), "owner admin"),
        ("training.read", _("See training jobs"), "owner admin analyst viewer"),
        ("training.write", _("Start and stop training jobs"), "owner admin analyst"),
        ("evaluation.read", _("See evaluations"), "owner admin analyst viewer"),
        ("evaluation.write", _("Start evaluations"), "owner admin analyst"),
        ("inference.read", _("See batch predictions"), "owner admin analyst viewer"),
        ("inference.write", _("Label texts with a model version"), "owner admin analyst agent"),
        ("sentiment.read", _("See monitors, their articles and figures"), "owner admin analyst viewer"),
        ("sentiment.write", _("Make monitors, add sources and push articles"), "owner admin analyst"),
        ("schedules.read", _("See what runs at set times"), "owner admin analyst viewer"),
        ("schedules.write", _("Change, pause and run what runs at set times"), "owner admin analyst"),
        ("receivers.read", _("See receivers of messages and what was sent to them"), "owner admin analyst"),
        ("receivers.write", _("Set up receivers of messages, send tests and send again"), "owner admin"),
        ("notifications.read", _("Read own notices"), "owner admin analyst annotator agent viewer"),
    )
}


def permissions_of(role: str) -> frozenset[str]:
    """All permissions that `role` holds; none for an unknown role."""
    return frozenset(name for name, (_meaning, roles) in PERMISSIONS.items() if role in roles)
