"""How alerts go, without a database: courses, times, words and terms."""
