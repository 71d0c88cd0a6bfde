"""Whether this machine can run it, and what makes it a service."""
