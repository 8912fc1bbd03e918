"""Texts to distil on: read, deduplicated, augmented, split."""
