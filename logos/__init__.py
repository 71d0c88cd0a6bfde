"""Names that Logos-Q1's documents use, kept as thin aliases; ``docs/aliases.md`` lists them."""
