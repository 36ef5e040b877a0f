"""The screen's side of the wire: connection, conversations, saved conversations."""
