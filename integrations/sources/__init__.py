"""Where releases are built: code hosts, CI and image registries, as far as their webhooks tell."""
