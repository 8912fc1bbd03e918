"""The small model before training: its base, its layers, its vocabulary, its head."""
