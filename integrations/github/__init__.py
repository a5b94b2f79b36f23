"""GitHub: its REST API, the deployer `github-actions`, the stage test `github-workflow`."""
