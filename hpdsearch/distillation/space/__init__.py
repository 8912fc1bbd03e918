"""The space of a distillation: a new projection of the teacher's embeddings, or a space that exists already."""
