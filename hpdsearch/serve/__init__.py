"""The HTTP service: search and change indexes from a browser and from programs (extra `serve`).

`hpdsearch serve` calls `server.run`; `app.create_app` makes the ASGI application.
"""
