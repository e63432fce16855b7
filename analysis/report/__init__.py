"""The report: the latest results as one self-contained HTML page and one PDF."""
