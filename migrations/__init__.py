"""Alembic migrations; `ringfence db upgrade` runs them."""
