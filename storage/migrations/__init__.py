"""Alembic scripts: what a database is made of, step by step. They import nothing of Andon."""
