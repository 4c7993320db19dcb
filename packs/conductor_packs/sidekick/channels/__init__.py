"""Channel transports: how a message leaves the workspace, and how one comes in."""
