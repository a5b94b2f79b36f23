"""A small shop to release: a service with a page, a switch that breaks one version of it, and its traffic."""
