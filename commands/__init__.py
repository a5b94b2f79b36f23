"""What people can ask: words to typed command to answer."""
