"""Pictures of a flow: DOT, Mermaid, SVG."""
