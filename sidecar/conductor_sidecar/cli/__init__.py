"""Commands of `conductor`; each module is loaded only when its command is used."""
