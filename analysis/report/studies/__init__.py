"""Sections on results whose own programs write no blocks: tables and pictures from their JSON."""
