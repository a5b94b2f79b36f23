"""The deployer `webhook`: has a service of one's own deploy, by signed requests; asks, or is told, how it went."""
