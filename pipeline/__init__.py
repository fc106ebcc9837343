"""The coordinator: the only side that knows PostgreSQL."""
