"""Who produces tokens. Every backend has the one interface of `chatapp.backends.base`."""
