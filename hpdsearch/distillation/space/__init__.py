"""The projection of the teacher's embeddings, and the spaces that are there already."""
