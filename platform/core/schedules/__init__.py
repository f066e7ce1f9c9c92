"""What runs at times that people choose: cron in a time zone, an action by name, and how its last run went."""
