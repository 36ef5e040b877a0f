"""The app in a browser, through textual-serve: each page runs one chatapp process.

A page that anybody opens could otherwise reach this server from the user's own browser and type prompts that cost
money, so requests are answered only when both Host and Origin name the address that was opened here.
"""
