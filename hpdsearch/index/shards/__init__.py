"""An index in shards: several index folders that are built, searched and changed as one."""
