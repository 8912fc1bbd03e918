"""A trained student becomes an encoder folder."""
