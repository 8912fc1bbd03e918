"""Measure the quality of the encoders: sentence similarity, and retrieval with exact search."""
