"""`python -m conductor_sidecar` is `conductor`."""

from conductor_sidecar.cli.main import main

main()
