"""Pages of people and of workspace settings."""
