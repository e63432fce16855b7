"""Speed and memory, measured side by side with the library's own pipeline in one run, and written down as data."""
