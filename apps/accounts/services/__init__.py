"""What happens to accounts: people, workspaces, members, invitations, keys, the audit trail and its retention."""

from apps.accounts.services.invitations import accept_as_member, accept_as_newcomer, invite, revoke_invitation
from apps.accounts.services.keys import create_api_key, limit_api_key, revoke_api_key
from apps.accounts.services.members import change_role, remove_member
from apps.accounts.services.people import (
    check_password_strength,
    create_user,
    deactivate_user,
    end_sessions,
    random_password,
    reactivate_user,
    require_operator,
    reset_password,
    update_profile,
)
from apps.accounts.services.retention import apply_retention
from apps.accounts.services.trail import audit, audit_entry, audit_many
from apps.accounts.services.workspaces import (
    ask_for_deletion,
    create_workspace,
    erase_workspace,
    guard_workspace,
    open_workspace,
    others_at_work,
    remove_files,
    update_workspace,
)

__all__ = [
    "accept_as_member",
    "accept_as_newcomer",
    "apply_retention",
    "ask_for_deletion",
    "audit",
    "audit_entry",
    "audit_many",
    "change_role",
    "check_password_strength",
    "create_api_key",
    "create_user",
    "create_workspace",
    "deactivate_user",
    "end_sessions",
    "erase_workspace",
    "guard_workspace",
    "invite",
    "limit_api_key",
    "open_workspace",
    "others_at_work",
    "random_password",
    "reactivate_user",
    "remove_files",
    "remove_member",
    "require_operator",
    "reset_password",
    "revoke_api_key",
    "revoke_invitation",
    "update_profile",
    "update_workspace",
]
