"""A private PostgreSQL and Valkey below one folder, for machines without services of their own."""
