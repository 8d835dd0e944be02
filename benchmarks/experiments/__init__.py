"""How good maps are, and what changes them; ``page`` writes docs/results.md."""
