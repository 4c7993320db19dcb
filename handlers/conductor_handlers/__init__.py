"""Running packs: registry, dispatcher, settlement. Import the submodules."""
