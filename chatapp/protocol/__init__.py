"""Bytes and JSON in, events out, and back. Sans-I/O, both sides of every wire we speak."""
