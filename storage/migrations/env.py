"""Runs migrations on the connection it is handed, inside that connection's transaction."""

from alembic import context

connection = context.config.attributes["connection"]
if connection.dialect.name == "postgresql":
    # Two replicas may start at once: one migrates, the other waits here and then finds nothing to do.
    connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
    connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
    connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7236340)")
    connection.exec_driver_sql("SET LOCAL lock_timeout = '10s'")

context.configure(connection=connection)
with context.begin_transaction():
    context.run_migrations()
