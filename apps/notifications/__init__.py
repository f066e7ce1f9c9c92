"""How people hear of what happened: in-app notices and mail."""
