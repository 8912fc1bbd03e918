"""The student: its initial model, its layers, its vocabulary, its head."""
