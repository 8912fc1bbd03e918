"""Speed, memory and quality of every index at several corpus sizes."""
