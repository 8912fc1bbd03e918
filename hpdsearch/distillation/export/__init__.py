"""The export of a trained student to an encoder folder, with its model card and its sentence-transformers modules."""
