"""Flows: typed Python functions, a document, a validator, an executor, a host.

Promise: what an author needs is one import away, and importing this package loads nothing else.
Refusal: no name is defined here.
"""
