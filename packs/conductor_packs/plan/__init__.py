"""Shared plans on the workspace's journal: items, links, claims, and how agents work from them."""
