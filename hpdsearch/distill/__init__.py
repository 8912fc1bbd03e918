"""How an encoder is made: teacher embeddings, projection, student training, export, gates."""
