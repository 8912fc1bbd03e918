"""Several index folders that are one: how many are needed (plan), and how their hits are merged."""
