"""Files in, canonical records out, and back: no database, no Django."""
