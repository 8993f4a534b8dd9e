# SPDX-License-Identifier: GPL-3.0-or-later
"""All requests to the Kubernetes API except Kopf's own: plain dict bodies in and out, typed errors.

Called by reconcilers, the metadata watches and the recorder of events. One pool of connections, at most
IN_FLIGHT requests at a time; watches do not count. Nothing is tried again here: the queue does that.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from typing import Any
from urllib.parse import urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from kubernetes.aio.client import Configuration
from kubernetes.aio.client.rest import RESTClientObject

from dbops_operator.keys import Key
from dbops_operator.resources import FIELD_MANAGER, RESOURCES, ImpossibleName, path_of

IN_FLIGHT = 16
PAGE = 500
TIMEOUT = 30.0
_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

Body = dict[str, Any]
# A name of its own, since `list` in the class below is a method.
Bodies = list[Body]


class ApiError(Exception):
    """The API server refused a request; `status` is the HTTP status, `reason` the machine's word for it."""

    def __init__(self, message: str, *, status: int = 0, reason: str = "") -> None:
        """Take the server's MESSAGE, its HTTP STATUS (0: no answer) and REASON."""
        super().__init__(message)
        self.status = status
        self.reason = reason


class NotFound(ApiError):  # noqa: N818
    """The object, or the namespace it should be in, does not exist."""


class Conflict(ApiError):  # noqa: N818
    """The object is not (any more) what the request was made for: read it again."""


class AlreadyExists(Conflict):
    """A create found an object of this name."""


class Forbidden(ApiError):  # noqa: N818
    """The operator's ServiceAccount may not do that."""


class NamespaceTerminating(Forbidden):
    """Nothing can be created in the namespace any more: it is being deleted."""


class Invalid(ApiError):  # noqa: N818
    """The request does not fit the schema."""


class Gone(ApiError):  # noqa: N818
    """The resourceVersion to continue from is too old: list again."""


class Retryable(ApiError):  # noqa: N818
    """Throttled, a server error, or no answer; `retry_after` seconds if the server named them."""

    def __init__(self, message: str, *, status: int = 0, reason: str = "", retry_after: float | None = None) -> None:
        """Take what ApiError takes and the pause that the server asked for."""
        super().__init__(message, status=status, reason=reason)
        self.retry_after = retry_after


class Client:
    """The API as the operator uses it. `on_write` is told each body that the server gave back for a write.

    `writing` is held around a create and a replace. `before_write` may raise an ApiError instead of a write.
    """

    def __init__(self, configuration: Configuration) -> None:
        """Use the server and credentials of CONFIGURATION (see dbops_operator.kubeconfig)."""
        # The pool is bounded by IN_FLIGHT and by the number of watches; aiohttp's own limit would let a watch
        # wait behind requests.
        configuration.connection_pool_maxsize = 0
        # Else aiohttp reads ~/.netrc and the environment in a thread for each request, at a third of what one costs.
        configuration.client_session_kwargs = {"trust_env": False}
        configuration.proxy = configuration.proxy or _proxy(configuration.host)
        self.configuration = configuration
        self._rest = RESTClientObject(configuration)
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self.on_write: Callable[[Body], None] | None = None
        self.writing: Callable[[Key], AbstractContextManager[None]] = lambda _: nullcontext()
        self.before_write: Callable[[], None] | None = None

    async def close(self) -> None:
        """Close all connections."""
        await self._rest.close()

    async def get(self, key: Key) -> Body:
        """Read one object. Raises NotFound, also for a name that no object can have: users write such names."""
        try:
            path = path_of(key)
        except ImpossibleName as error:
            raise NotFound(str(error)) from error
        return await self._json("GET", path)

    async def list(self, kind: str, namespace: str = "", *, label_selector: str = "") -> Bodies:
        """Read all objects of a KIND, in one NAMESPACE or in all, page by page. `kind` is set in each body."""
        bodies, _ = await self.list_with_version(kind, namespace, label_selector=label_selector)
        return bodies

    async def list_with_version(
        self, kind: str, namespace: str = "", *, label_selector: str = "", metadata_only: bool = False
    ) -> tuple[Bodies, str]:
        """Like `list`; also gives the resourceVersion from which a watch continues."""
        resource = RESOURCES[kind]
        query = {"limit": str(PAGE), **({"labelSelector": label_selector} if label_selector else {})}
        bodies: Bodies = []
        while True:
            page = await self._json(
                "GET",
                f"{resource.path(namespace)}?{urlencode(query)}",
                accept=_METADATA_LIST if metadata_only else None,
            )
            # Items of a list come without their type.
            bodies += [{**item, "kind": kind, "apiVersion": resource.api_version} for item in page["items"] or ()]
            if not page["metadata"].get("continue"):
                return bodies, page["metadata"]["resourceVersion"]
            query["continue"] = page["metadata"]["continue"]

    def watch_metadata(
        self, kind: str, namespace: str, resource_version: str, *, seconds: int
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Open a watch of metadata only, which the server ends after SECONDS. Read it with `read_event`."""
        query = urlencode(
            {
                "watch": "true",
                "allowWatchBookmarks": "true",
                "resourceVersion": resource_version,
                "timeoutSeconds": str(seconds),
            }
        )
        return _Watch(self, f"{RESOURCES[kind].path(namespace)}?{query}", seconds=seconds)

    async def create(self, body: Mapping[str, Any]) -> Body:
        """Create an object. Raises AlreadyExists, NamespaceTerminating, NotFound (no such namespace)."""
        key = Key.of(body)
        path = f"{RESOURCES[key.kind].path(key.namespace)}?fieldManager={FIELD_MANAGER}"
        with self.writing(key):
            return await self._write("POST", path, body=body)

    async def replace(self, body: Mapping[str, Any]) -> Body:
        """Replace an object; its resourceVersion must be in BODY. Raises Conflict if it changed, NotFound."""
        _require_version(body)
        key = Key.of(body)
        with self.writing(key):
            return await self._write("PUT", f"{path_of(key)}?fieldManager={FIELD_MANAGER}", body=body)

    async def delete(self, key: Key, *, uid: str | None = None, resource_version: str | None = None) -> None:
        """Delete an object, only if it still has this UID and RESOURCE_VERSION. Raises Conflict, NotFound."""
        conditions = {"uid": uid, "resourceVersion": resource_version}
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {name: value for name, value in conditions.items() if value},
        }
        self._require_allowed()
        await self._json("DELETE", path_of(key), body=options)

    async def apply_status(self, body: Mapping[str, Any]) -> Body:
        """Server-side apply of `status`, and of nothing else in BODY.

        `metadata.resourceVersion` must be in BODY: without it the status would land on an object that was deleted
        and made again. Raises Conflict, NotFound.
        """
        _require_version(body)
        metadata = body["metadata"]
        key = Key.of(body)
        applied = {
            "apiVersion": RESOURCES[key.kind].api_version,
            "kind": key.kind,
            "metadata": {
                name: metadata[name] for name in ("name", "namespace", "resourceVersion") if metadata.get(name)
            },
            "status": body["status"],
        }
        path = f"{path_of(key, 'status')}?fieldManager={FIELD_MANAGER}&force=true"
        return await self._write("PATCH", path, body=applied, content_type="application/apply-patch+yaml")

    async def patch_finalizers(self, body: Mapping[str, Any], finalizers: Sequence[str]) -> Body:
        """Set `metadata.finalizers` of the object that BODY shows, by JSON patch.

        The patch tests BODY's resourceVersion, so it never meets another object or an edited one (Conflict), and
        never makes a vanished one again (NotFound).
        """
        _require_version(body)
        operations: list[dict[str, Any]] = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": body["metadata"]["resourceVersion"]}
        ]
        if finalizers:
            operations.append({"op": "add", "path": "/metadata/finalizers", "value": list(finalizers)})
        elif body["metadata"].get("finalizers"):
            operations.append({"op": "remove", "path": "/metadata/finalizers"})
        return await self._json_patch(Key.of(body), operations)

    async def patch_annotations(self, body: Mapping[str, Any], annotations: Mapping[str, str]) -> Body:
        """Set ANNOTATIONS on the object that BODY shows; others stay. Raises Conflict if it changed, NotFound."""
        _require_version(body)
        patch = {"metadata": {"resourceVersion": body["metadata"]["resourceVersion"], "annotations": dict(annotations)}}
        path = f"{path_of(Key.of(body))}?fieldManager={FIELD_MANAGER}"
        return await self._write("PATCH", path, body=patch, content_type="application/merge-patch+json")

    async def patch_owners(self, body: Mapping[str, Any], references: Sequence[Mapping[str, Any]]) -> Body:
        """Set `metadata.ownerReferences` of the object that BODY shows. Raises Conflict if it changed, NotFound."""
        _require_version(body)
        patch = {
            "metadata": {"resourceVersion": body["metadata"]["resourceVersion"], "ownerReferences": list(references)}
        }
        path = f"{path_of(Key.of(body))}?fieldManager={FIELD_MANAGER}"
        return await self._write("PATCH", path, body=patch, content_type="application/merge-patch+json")

    async def _json_patch(self, key: Key, operations: Sequence[Mapping[str, Any]]) -> Body:
        path = f"{path_of(key)}?fieldManager={FIELD_MANAGER}"
        try:
            return await self._write("PATCH", path, body=operations, content_type="application/json-patch+json")
        except Invalid as error:
            # A failed `test` is answered with 422 and no better reason.
            raise Conflict(str(error), status=error.status, reason=error.reason) from error

    async def create_secret(self, body: Mapping[str, Any]) -> Body:
        """Create a Secret. Raises what `create` raises."""
        return await self.create(body)

    async def replace_secret(self, body: Mapping[str, Any]) -> Body:
        """Replace a Secret with its resourceVersion in BODY. Raises what `replace` raises."""
        return await self.replace(body)

    async def delete_secret(self, body: Mapping[str, Any]) -> None:
        """Delete exactly the Secret that BODY shows. Raises Conflict, NotFound."""
        metadata = body["metadata"]
        await self.delete(Key.of(body), uid=metadata["uid"], resource_version=metadata["resourceVersion"])

    async def create_event(self, body: Mapping[str, Any]) -> None:
        """Create an Event of events.k8s.io/v1."""
        await self.create(body)

    async def review(self, body: Mapping[str, Any]) -> Body:
        """Ask about a token or an account (TokenReview, SubjectAccessReview); nothing is kept by the API server."""
        return await self._json("POST", f"/apis/{body['apiVersion']}/{body['kind'].lower()}s", body=body)

    async def _write(self, method: str, path: str, *, body: Any, content_type: str = "application/json") -> Body:
        self._require_allowed()
        written = await self._json(method, path, body=body, content_type=content_type)
        if self.on_write:
            self.on_write(written)
        return written

    def _require_allowed(self) -> None:
        if self.before_write:
            self.before_write()

    async def _json(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        content_type: str = "application/json",
        accept: str | None = None,
    ) -> Body:
        async with self._slots:
            response = await self._open(
                method, path, body=body, content_type=content_type, accept=accept, seconds=TIMEOUT
            )
            try:
                content = await response.read()
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise Retryable(f"the answer of the API server broke off: {error}") from error
        if response.status >= 400:
            raise _error(response.status, content, response.headers)
        decoded: Body = json.loads(content)
        return decoded

    async def _open(
        self, method: str, path: str, *, body: Any, content_type: str, accept: str | None, seconds: float
    ) -> aiohttp.ClientResponse:
        headers = {"Content-Type": content_type, "Accept": accept or "application/json"}
        token = await self.configuration.get_api_key_with_prefix("BearerToken")
        if token:
            headers["Authorization"] = token
        try:
            answer = await self._rest.request(  # type: ignore[no-untyped-call]
                method,
                f"{self.configuration.host}{path}",
                headers=headers,
                body=body,
                _request_timeout=aiohttp.ClientTimeout(total=seconds, sock_connect=min(seconds, 10)),
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Retryable(f"no answer from the API server: {type(error).__name__} {error}".strip()) from error
        response: aiohttp.ClientResponse = answer.response
        return response


def _proxy(url: str) -> str | None:
    """The proxy for URL by the environment (HTTPS_PROXY, NO_PROXY), if any."""
    parts = urlsplit(url)
    return None if proxy_bypass(parts.netloc) else getproxies().get(parts.scheme)


class _Watch(AbstractAsyncContextManager[aiohttp.ClientResponse]):
    """An open watch; closes its connection at the end."""

    def __init__(self, client: Client, path: str, *, seconds: int) -> None:
        self._client = client
        self._path = path
        # The server ends the watch; the client's limit is only for a server that does not.
        self._seconds = seconds + 15.0
        self._response: aiohttp.ClientResponse | None = None

    async def __aenter__(self) -> aiohttp.ClientResponse:
        response = await self._client._open(
            "GET", self._path, body=None, content_type="application/json", accept=_METADATA, seconds=self._seconds
        )
        if response.status >= 400:
            raise _error(response.status, await response.read(), response.headers)
        self._response = response
        return response

    async def __aexit__(self, *_: object) -> None:
        if self._response:
            self._response.close()


async def read_event(response: aiohttp.ClientResponse) -> Body | None:
    """Read the next event of a watch; None at its end. Raises Gone or another ApiError for an ERROR event."""
    try:
        line = await response.content.readline()
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Retryable(f"the watch broke off: {type(error).__name__} {error}".strip()) from error
    if not line.strip():
        return None
    event: Body = json.loads(line)
    if event["type"] == "ERROR":
        status = event["object"]
        raise _error(status.get("code", 0), line, {}, status=status)
    return event


def _require_version(body: Mapping[str, Any]) -> None:
    if not body["metadata"].get("resourceVersion"):
        raise ValueError("a write needs the resourceVersion of the object that was read")


def _error(
    code: int, content: bytes, headers: Mapping[str, str], *, status: Mapping[str, Any] | None = None
) -> ApiError:
    if status is None:
        try:
            status = json.loads(content)
        except ValueError:
            status = {}
    if not isinstance(status, Mapping):
        status = {}
    reason = str(status.get("reason", ""))
    message = str(status.get("message") or f"HTTP status {code}")
    causes = [cause.get("reason") for cause in (status.get("details") or {}).get("causes") or []]
    if code == 429 or code >= 500 or code in (0, 401, 408):
        # 401: the token was renewed meanwhile; it is read again with the next request.
        return Retryable(message, status=code, reason=reason, retry_after=_seconds(headers.get("Retry-After")))
    error: type[ApiError] = {404: NotFound, 409: Conflict, 403: Forbidden, 410: Gone, 400: Invalid, 422: Invalid}.get(
        code, ApiError
    )
    if error is Conflict and reason == "AlreadyExists":
        error = AlreadyExists
    if error is Forbidden and "NamespaceTerminating" in causes:
        error = NamespaceTerminating
    return error(message, status=code, reason=reason)


def _seconds(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
