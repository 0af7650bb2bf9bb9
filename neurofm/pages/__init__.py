"""Pages for people: one self-contained HTML file, its tables and figures."""
