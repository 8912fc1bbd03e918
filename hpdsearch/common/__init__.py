"""Leaf modules that every other folder uses: files, progress, plotting, vectors. They import nothing but errors."""
