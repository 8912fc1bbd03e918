"""The training loop, its losses and the plot of its log."""
