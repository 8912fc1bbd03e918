"""Whole programs, from a file of texts to the hits."""
