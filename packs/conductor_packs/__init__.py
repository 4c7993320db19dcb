"""Built-in packs; each stands alone and imports only the sdk."""
