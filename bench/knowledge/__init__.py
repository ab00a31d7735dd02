"""What it costs to index many passages and to search in them."""
