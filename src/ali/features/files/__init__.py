"""Files that projects keep: their rows here, their bytes in object storage."""
