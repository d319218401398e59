"""Source: what the repository's own files say, read and never imported: syntax, imports, copies, git."""
