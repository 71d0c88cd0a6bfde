"""Values, events and the machinery that carries them. Knows nothing of venues, strategies or money rules."""
