"""The running process: settings, wiring, engine, outbox, the Slack and HTTP faces, the shell."""
