"""The WebSocket server: the Responses API's WebSocket mode in front of any backend."""
