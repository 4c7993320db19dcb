"""The wire of a link, both ends, without I/O. Import the submodules."""
