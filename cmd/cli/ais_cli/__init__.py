"""The `ais` command line: one module per command group, on top of `ais.client`.

Fetching and rendering are apart: commands fetch typed values, `text` and the `*_table` functions turn them into text.
Heavy libraries are imported when a command runs, so that `--help` and completion are quick.
"""
