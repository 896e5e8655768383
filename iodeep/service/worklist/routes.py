"""UPS-RS (PS3.18 section 11): HTTP around the worklist, and the WebSocket of event reports (PS3.18 8.10.4)."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from anyio import to_thread
from fastapi import APIRouter, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.params import Depends
from fastapi.responses import JSONResponse

from iodeep.errors import InputError, IODeepError
from iodeep.service.worklist.documents import Document, parsed, text
from iodeep.service.worklist.searching import search_of
from iodeep.service.worklist.states import Answer, State
from iodeep.service.worklist.subscribing import FILTERED, GLOBAL, NoSubscriptionError, filter_of
from iodeep.service.worklist.worklist import DuplicateWorkitemError, NoSuchWorkitemError, Worklist
from pacs_bridge.part10 import is_uid

_JSON = "application/dicom+json"
_MOST_BYTES = 1 << 20
_LOOK_S = 0.25
_AET = re.compile(r"[ -\[\]-~]{1,16}")
_PREFIX = re.compile(r"/(workitems|subscribers|ws)(/|$)")
_FUZZY = "The fuzzymatching parameter is not supported. Only literal matching has been performed."
_MODIFIED = "The Workitem was created with modifications."
T = TypeVar("T")


def worklist_router(
    worklist: Worklist,
    reading: Sequence[Depends] = (),
    changing: Sequence[Depends] = (),
    listening: Sequence[Depends] = (),
) -> APIRouter:
    """The routes, behind the dependencies for reading, for changing, and for the WebSocket; without a prefix."""
    routes = _Routes(worklist)
    router = APIRouter(include_in_schema=False)
    one, subscriber = "/workitems/{uid}", "/workitems/{uid}/subscribers/{aet}"
    table: tuple[tuple[str, str, Callable[[Request], Awaitable[Response]], Sequence[Depends]], ...] = (
        ("POST", "/workitems", routes.create, changing),
        ("GET", "/workitems", routes.search, reading),
        ("GET", one, routes.retrieve, reading),
        ("POST", one, routes.update, changing),
        ("PUT", f"{one}/state", routes.change_state, changing),
        ("POST", f"{one}/cancelrequest", routes.request_cancel, changing),
        ("POST", subscriber, routes.subscribe, changing),
        ("DELETE", subscriber, routes.unsubscribe, changing),
        ("POST", f"{subscriber}/suspend", routes.suspend, changing),
    )
    for method, path, handler, needed in table:
        router.add_api_route(
            path, _answering(handler), methods=[method], dependencies=list(needed), name=f"{method} {path}"
        )
    for path in ("/subscribers/{aet}", "/ws/subscribers/{aet}"):
        router.add_api_websocket_route(path, routes.listen, dependencies=list(listening))
    return router


def _answering(handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """What a handler raises as the status that PS3.18 gives it."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except NoSuchWorkitemError as error:
            return _problem(error, 410 if error.gone else 404)
        except NoSubscriptionError as error:
            return _problem(error, 404)
        except DuplicateWorkitemError as error:
            return _problem(error, 409)
        except InputError as error:
            return _problem(error, 400)
        except IODeepError as error:
            return _problem(error, 503)

    return answer


class _Routes:
    """One method a transaction."""

    def __init__(self, worklist: Worklist) -> None:
        self._worklist = worklist

    async def create(self, request: Request) -> Response:
        """11.4."""
        given = await _document(request)
        uid = _new_uid(request, given)
        given.pop("00080018", None)
        given.pop("00080016", None)
        modified = await _off(lambda: self._worklist.create(uid, given))
        headers = {"Location": f"{_root(request)}/workitems/{uid}"}
        return Response(status_code=201, headers=headers | (_warning(request, _MODIFIED) if modified else {}))

    async def retrieve(self, request: Request) -> Response:
        """11.5; the Transaction UID is not in it."""
        item = await _off(lambda: self._worklist.get(_uid(request)))
        shown = {tag: value for tag, value in item.document.items() if tag != "00081195"}
        return Response(json.dumps([shown]), media_type=_JSON)

    async def search(self, request: Request) -> Response:
        """11.9."""
        search = search_of(request.query_params.multi_items())
        found, remaining = await _off(lambda: self._worklist.search(search))
        texts = [_FUZZY] if search.fuzzy else []
        texts += [f"There are {remaining} additional results that can be requested"] if remaining else []
        headers = _warning(request, *texts) if texts else {}
        if not found:
            return Response(status_code=204, headers=headers)
        return Response(json.dumps(found), headers=headers, media_type=_JSON)

    async def update(self, request: Request) -> Response:
        """11.6."""
        changes = await _document(request)
        transaction = _transaction_parameter(request)
        answer = await _off(lambda: self._worklist.update(_uid(request), transaction, changes))
        return _answered(request, answer)

    async def change_state(self, request: Request) -> Response:
        """11.7."""
        given = await _document(request)
        wanted = text(given, "ProcedureStepState")
        if wanted not in tuple(State):
            raise InputError("no such Procedure Step State", expected=", ".join(State), found=wanted or "none")
        transaction = text(given, "TransactionUID")
        if transaction and not is_uid(transaction):
            raise InputError("the Transaction UID is no UID", found=transaction[:70])
        answer = await _off(lambda: self._worklist.change_state(_uid(request), transaction, State(wanted)))
        return _answered(request, answer)

    async def request_cancel(self, request: Request) -> Response:
        """11.8."""
        reason = await _document(request, empty=True)
        requester = text(reason, "RequestingAE")
        answer = await _off(lambda: self._worklist.request_cancel(_uid(request), requester, reason))
        return _answered(request, answer)

    async def subscribe(self, request: Request) -> Response:
        """11.10."""
        aet, uid, keys = _aet(request.path_params["aet"]), _uid(request), request.query_params.get("filter", "")
        lock = request.query_params.get("deletionlock", "false").lower() == "true"
        if uid == FILTERED:
            search_of(filter_of(keys))
        await _off(lambda: self._worklist.subscriptions.subscribe(aet, uid, lock=lock, keys=keys))
        socket = f"{_root(request).replace('http', 'ws', 1)}/subscribers/{aet}"
        return Response(status_code=201, headers={"Content-Location": socket})

    async def unsubscribe(self, request: Request) -> Response:
        """11.11."""
        aet, uid = _aet(request.path_params["aet"]), _uid(request)
        await _off(lambda: self._worklist.subscriptions.unsubscribe(aet, uid))
        return Response(status_code=200)

    async def suspend(self, request: Request) -> Response:
        """11.12."""
        aet, uid = _aet(request.path_params["aet"]), _uid(request)
        if uid not in (GLOBAL, FILTERED):
            raise InputError("only a subscription to the worklist is suspended", expected=f"{GLOBAL} or {FILTERED}")
        await _off(lambda: self._worklist.subscriptions.suspend(aet, uid))
        return Response(status_code=200)

    async def listen(self, socket: WebSocket) -> None:
        """8.10.4: reports of an AE as they are made, until it goes."""
        aet = socket.path_params["aet"]
        if not _AET.fullmatch(aet):
            await socket.close(1008)
            return
        await socket.accept()
        sending = asyncio.ensure_future(self._send(socket, aet))
        try:
            while True:
                await socket.receive()  # a client says nothing; what ends the wait is its going
        except (WebSocketDisconnect, RuntimeError):
            return
        finally:
            sending.cancel()

    async def _send(self, socket: WebSocket, aet: str) -> None:
        """A report is forgotten when the connection has taken it."""
        while True:
            waiting = await _off(lambda: self._worklist.subscriptions.waiting(aet))
            for number, report in waiting:
                await socket.send_text(report)
                await _off(lambda number=number: self._worklist.subscriptions.sent(number))  # type: ignore[misc]
            if not waiting:
                await asyncio.sleep(_LOOK_S)


async def _off(work: Callable[[], T]) -> T:
    return await to_thread.run_sync(work)


async def _document(request: Request, *, empty: bool = False) -> Document:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_BYTES:
            raise InputError("the request is too large", expected=f"at most {_MOST_BYTES} bytes")
    if empty and not body:
        return {}
    kind = request.headers.get("content-type", _JSON).partition(";")[0].strip().lower()
    if kind not in (_JSON, "application/json"):
        raise InputError("the request's media type is not taken", expected=_JSON, found=kind)
    try:
        return parsed(json.loads(body))
    except (ValueError, RecursionError) as error:
        raise InputError("the request is not JSON", found=str(error)[:100]) from error


def _new_uid(request: Request, given: Document) -> str:
    """The UID that the request names: ``?UID``, ``?workitem=UID``, the older parameter, or in the data set; else a new one."""
    parameters = request.query_params
    bare = next((name for name, value in parameters.items() if not value), "")
    named = parameters.get("workitem") or parameters.get("AffectedSOPInstanceUID") or bare
    uid = named or text(given, "SOPInstanceUID") or f"2.25.{uuid.uuid4().int}"
    if not is_uid(uid) or uid in (GLOBAL, FILTERED):
        raise InputError("the workitem's UID is none", found=uid[:70])
    return uid


def _transaction_parameter(request: Request) -> str:
    """``?transaction-uid=UID`` or, as older editions write it, ``?UID``."""
    parameters = request.query_params
    bare = next((name for name, value in parameters.items() if not value), "")
    return parameters.get("transaction-uid") or bare


def _uid(request: Request) -> str:
    uid: str = request.path_params["uid"]
    if not is_uid(uid):
        raise InputError("the workitem's UID is none", found=uid[:70])
    return uid


def _aet(aet: str) -> str:
    if not _AET.fullmatch(aet) or not aet.strip():
        raise InputError("the AE title is ill-formed", expected="1 to 16 characters", found=aet[:32])
    return aet


def _root(request: Request) -> str:
    path = request.url.path
    found = _PREFIX.search(path)
    return str(request.base_url).rstrip("/") + (path[: found.start()] if found else path)


def _warning(request: Request, *texts: str) -> dict[str, str]:
    return {"Warning": ", ".join(f"299 {_root(request)}: {each}" for each in texts)}


def _answered(request: Request, answer: Answer) -> Response:
    headers = _warning(request, answer.warning) if answer.warning else {}
    if answer.refused:
        document = {"title": answer.warning, "status": answer.http, "dicom_status": f"{answer.dimse:04X}"}
        return JSONResponse(document, answer.http, headers, "application/problem+json")
    return Response(status_code=answer.http, headers=headers)


def _problem(error: IODeepError, status: int) -> Response:
    document: dict[str, Any] = {"title": error.problem, "status": status, "detail": str(error), **error.as_dict()}
    return JSONResponse(document, status, media_type="application/problem+json")
