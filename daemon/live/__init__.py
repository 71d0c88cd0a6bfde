"""The process that hears sockets: door, recorder, start, restart, stop."""
