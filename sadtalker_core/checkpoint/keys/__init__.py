"""Which released tensor lives under which of our names, one table a room."""
