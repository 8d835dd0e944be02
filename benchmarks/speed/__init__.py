"""How fast glavitu is, as ratios within one run; ``page`` writes docs/performance.md."""
