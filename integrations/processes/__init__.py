"""The embedded deployer: worker processes of one server behind one front that loses no request."""
