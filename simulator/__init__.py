"""A strict Slack workspace on localhost, for demos, scenario tests and pictures."""
