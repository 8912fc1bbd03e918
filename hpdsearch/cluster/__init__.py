"""A corpus on many machines: how many are needed (plan), and building, searching and serving its shards on Ray."""
