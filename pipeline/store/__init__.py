"""The store: everything that talks to PostgreSQL."""
