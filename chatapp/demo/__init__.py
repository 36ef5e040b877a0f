"""Scripted demos: the same on every stage."""
