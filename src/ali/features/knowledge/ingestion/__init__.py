"""Reading the files of vector stores in the background: each store's file is the job of reading it (docs/adr/0018)."""
