"""Moving bytes: WebSocket, memory (loopback), HTTP push fallback. Import the submodules."""
