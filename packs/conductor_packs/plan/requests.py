"""What can be asked of a plan: one frozen record for each mutation.

Promise: a record that was built by `parse` holds only values that the tables and the journal take,
so that nothing is found wrong halfway. Refusal: whether the plan allows it is not asked here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from conductor_packs.plan.errors import PlanInputInvalid
from conductor_packs.plan.records import LinkType, PlanStatus, State
from conductor_sdk.chain.canonical import PayloadRefused, canonical_json

_PLAIN: Final = r"^[^\x00-\x1f\x7f-\x9f]*$"
Id = Annotated[str, Meta(min_length=1, max_length=128, pattern=_PLAIN)]
Name = Annotated[str, Meta(min_length=1, max_length=256, pattern=_PLAIN)]
Title = Annotated[str, Meta(min_length=1, max_length=500, pattern=_PLAIN)]
Kind = Annotated[str, Meta(min_length=1, max_length=64, pattern=_PLAIN)]
Priority = Annotated[int, Meta(ge=-1_000_000, le=1_000_000)]
Estimate = Annotated[int, Meta(ge=1, le=10_000_000, description="Minutes of work.")]
Version = Annotated[int, Meta(ge=1, le=2**53 - 1)]
Moment = Annotated[str, Meta(max_length=40, description="ISO 8601 with a time zone.")]
Seconds = Annotated[int, Meta(ge=1, le=604_800)]
Path_ = Annotated[str, Meta(min_length=1, max_length=1024, pattern=_PLAIN)]
Paths = Annotated[list[Path_], Meta(max_length=200)]
Object: TypeAlias = dict[str, Any]
T = TypeVar("T", bound="Request")


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every request is."""

    def __post_init__(self) -> None:
        """Refuse a time without a zone, and JSON that the journal would not take.

        Raises:
            ValueError: msgspec turns it into its own error, with the place.
        """
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, dict):
                _check_json(value)  # pyright: ignore[reportUnknownArgumentType]  # JSON is honest Any
            elif name == "due_ts" and isinstance(value, str):
                _check_moment(value)


class CreatePlan(Request, frozen=True, kw_only=True):
    """Make a plan."""

    title: Title
    plan_id: Id | None = None
    owner_agent: Name | None = None
    """The caller, unless it is said."""
    status: PlanStatus = "ACTIVE"


class UpdatePlan(Request, frozen=True, kw_only=True):
    """Rename a plan, hand it over, archive it or bring it back."""

    plan_id: Id
    expected_version: Version
    title: Title | UnsetType = UNSET
    owner_agent: Name | UnsetType = UNSET
    status: PlanStatus | UnsetType = UNSET


class AddItem(Request, frozen=True, kw_only=True):
    """Add an item to a plan."""

    plan_id: Id
    title: Title
    item_id: Id | None = None
    kind: Kind = "TASK"
    state: State = "TODO"
    priority: Priority = 0
    assigned_to: Name | None = None
    due_ts: Moment | None = None
    estimate: Estimate | None = None


class Patch(Request, frozen=True, kw_only=True):
    """New values of fields; a field that is left out stays as it is."""

    title: Title | UnsetType = UNSET
    priority: Priority | UnsetType = UNSET
    assigned_to: Name | UnsetType | None = UNSET
    due_ts: Moment | UnsetType | None = UNSET
    kind: Kind | UnsetType = UNSET
    estimate: Estimate | UnsetType | None = UNSET


class UpdateItem(Request, frozen=True, kw_only=True):
    """Change fields of an item; its state has its own operation."""

    item_id: Id
    expected_version: Version
    patch: Patch
    token: int | None = None


class Transition(Request, frozen=True, kw_only=True):
    """Move an item to another state."""

    item_id: Id
    to_state: State
    expected_version: Version
    token: int | None = None
    """The claim's, where someone has claimed it."""


class MarkReady(Request, frozen=True, kw_only=True):
    """First leg of the execution handshake: the item may be executed."""

    item_id: Id
    expected_version: Version
    token: int | None = None


class RecordRequest(Request, frozen=True, kw_only=True):
    """Second leg: execution was asked for."""

    item_id: Id
    expected_version: Version
    payload: Object = msgspec.field(default_factory=dict[str, Any])
    token: int | None = None


class RecordResult(Request, frozen=True, kw_only=True):
    """Third leg: what execution gave."""

    item_id: Id
    expected_version: Version
    result: Object = msgspec.field(default_factory=dict[str, Any])
    error: Annotated[str, Meta(max_length=4000)] | None = None
    token: int | None = None


class AddLink(Request, frozen=True, kw_only=True):
    """Link two items of one plan."""

    from_item_id: Id
    to_item_id: Id
    link_type: LinkType = "DEPENDS_ON"
    """DEPENDS_ON: from waits for to. PARENT: to is the whole of which from is a part."""
    link_id: Id | None = None


class RemoveLink(Request, frozen=True, kw_only=True):
    """Remove a link."""

    link_id: Id


class ClaimItem(Request, frozen=True, kw_only=True):
    """Take an item to work on it; with `plan_id` instead, the next one that is ready."""

    item_id: Id | None = None
    plan_id: Id | None = None
    ttl_s: Seconds | None = None
    """How long the lease lasts without a heartbeat."""
    paths: Paths = msgspec.field(default_factory=list[str])
    """Files and directories that nobody else may reserve meanwhile."""


class Heartbeat(Request, frozen=True, kw_only=True):
    """Say that the holder still works."""

    item_id: Id
    token: int
    ttl_s: Seconds | None = None


class Release(Request, frozen=True, kw_only=True):
    """Give an item back without a result."""

    item_id: Id
    token: int


class Reserve(Request, frozen=True, kw_only=True):
    """Reserve more paths for a claimed item."""

    item_id: Id
    token: int
    paths: Annotated[list[Path_], Meta(min_length=1, max_length=200)]


Mutation: TypeAlias = (
    CreatePlan | UpdatePlan | AddItem | UpdateItem | Transition | MarkReady | RecordRequest
    | RecordResult | AddLink | RemoveLink | ClaimItem | Heartbeat | Release | Reserve
)  # fmt: skip
Leg: TypeAlias = MarkReady | RecordRequest | RecordResult
Access = Literal["read", "write"]


def parse(kind: type[T], fields: Mapping[str, Any]) -> T:
    """Build a request from JSON fields.

    Raises:
        PlanInputInvalid: A field is missing, unknown or has the wrong shape; says which.
    """
    try:
        return msgspec.convert(dict(fields), kind)
    except msgspec.ValidationError as error:
        raise PlanInputInvalid(str(error)) from None


def _check_json(value: Mapping[str, Any]) -> None:
    try:
        canonical_json(value)
    except PayloadRefused as error:
        raise ValueError(error.detail) from None


def _check_moment(text: str) -> None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a time") from None
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
