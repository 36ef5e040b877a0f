"""Making model text safe and readable: sanitizing and streaming Markdown. Pure."""
