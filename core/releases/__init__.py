"""Pipelines and releases: the rules of `docs/release-rules.md`, as pure functions over frozen values."""
