"""Leaf modules that all other folders may import: files, progress, plotting, vectors. They import only errors."""
