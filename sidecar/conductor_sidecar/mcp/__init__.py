"""The Model Context Protocol: the packs' tools for any MCP client."""
