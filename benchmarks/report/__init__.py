"""Result files -> tables, pictures and pages."""
