"""The command line: one file a command. `octavo.__main__` puts them together."""
