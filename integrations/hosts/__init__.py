"""The deployer `hosts`: servers over SSH, in striped batches, by jobs that survive a lost connection."""
