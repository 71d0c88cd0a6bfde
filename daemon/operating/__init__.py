"""Everything an operator says, and how it gets in."""
