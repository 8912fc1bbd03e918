"""Speed of the encoders: texts a second, latency of one text, share of the machine's peak."""
