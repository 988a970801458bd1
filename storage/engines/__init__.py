"""The databases themselves: SQLite with its file, PostgreSQL, the simulator's own, and how writes are committed."""
