"""A simulated company: years of releases of many services through the real core, watched at every step."""
