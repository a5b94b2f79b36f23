"""The pure heart of Andon: what a release may do, decided without clock, network, randomness or database."""
