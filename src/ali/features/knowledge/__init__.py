"""Vector stores: what is known of files, found again, and cited by file, page and article."""
