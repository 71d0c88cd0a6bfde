"""The process looking after itself, and telling people."""
