"""The peer of the HTTP rows: an empty BlackSheep application on uvicorn, with uvloop, httptools and msgspec.

    python bench/echo_app.py          # prints its port

It reads a JSON body and answers a small JSON object, in the cheapest way this stack has: what is left is the price of
HTTP itself. `GET /echo` is the same without a body.
"""

from __future__ import annotations

import logging

import msgspec
import uvicorn
from blacksheep import Application, Content, Request, Response
from blacksheep.server.routing import Router

_ANSWER = {"object": "echo", "status": "ok", "rows": 1}
_encoder = msgspec.json.Encoder()


async def read(request: Request) -> Response:
    msgspec.json.decode(await request.read() or b"null")
    return Response(200, content=Content(b"application/json", _encoder.encode(_ANSWER)))


async def answer(request: Request) -> Response:
    return Response(200, content=Content(b"application/json", _encoder.encode(_ANSWER)))


def build() -> Application:
    router = Router()
    router.add("POST", "/echo", read)
    router.add("GET", "/echo", answer)
    return Application(router=router)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    uvicorn.run(
        build(),
        port=0,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        timeout_keep_alive=60,
        access_log=False,
        server_header=False,
        log_config=None,
    )
