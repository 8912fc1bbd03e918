"""Turn result files into tables, pictures and pages."""
