"""Who works here: users, workspaces, roles, API keys and the audit trail."""
