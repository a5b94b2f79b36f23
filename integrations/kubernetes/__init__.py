"""The deployer `kubernetes`: images of Deployments and StatefulSets, changed by digest."""
