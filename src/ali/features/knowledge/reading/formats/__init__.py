"""The formats of files, each read into a `Content`. Imported by the child process alone."""
