"""Measure the speed of the encoders: texts per second, latency of one text, share of the processor's peak."""
