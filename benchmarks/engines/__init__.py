"""Compare complete search programs, from a file of texts to the hits."""
