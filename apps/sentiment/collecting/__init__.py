"""Reading news: from bytes that somebody served to articles with a date, a language and a signature. Plain functions."""
