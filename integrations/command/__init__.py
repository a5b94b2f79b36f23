"""The deployer `command`: any program puts a version on a target, and a probe says what runs there."""
