"""A deployer for Andon that copies files: a template for one of your own."""
