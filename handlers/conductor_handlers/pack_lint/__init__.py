"""What `conductor pack validate` checks beyond loading: files, imports, entries, scopes, hash."""
