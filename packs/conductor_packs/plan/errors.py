"""What can be wrong with a request to a plan.

Promise: every refusal has a stable code and names the next command. Refusal: nothing here decides.
"""

from __future__ import annotations

from conductor_sdk.errors import ConductorError, Exit


class PlanError(ConductorError):
    """The plan refused."""

    code = "PLAN_REFUSED"
    default_hint = "look at it: conductor plan explain --item-id ITEM"


class PlanInputInvalid(PlanError):
    """The request has a field of the wrong shape."""

    code = "PLAN_INPUT_INVALID"
    default_hint = "see: conductor plan --help"
    exit_code = Exit.USAGE


class PlanTablesMissing(PlanError):
    """This workspace has no plans yet."""

    code = "PLAN_TABLES_MISSING"
    default_hint = "run: conductor plan init-db"
    exit_code = Exit.NOT_FOUND


class PlanFileRefused(PlanError):
    """The operating system refused a file."""

    code = "PLAN_FILE_REFUSED"
    default_hint = "look at the path and its permissions"


class PlanDamaged(PlanError):
    """The plan's tables are not what the journal says."""

    code = "PLAN_DAMAGED"
    default_hint = "run: conductor log verify; then conductor log replay --write"
    exit_code = Exit.INTEGRITY


class PlanNotFound(PlanError):
    """There is no such plan."""

    code = "PLAN_NOT_FOUND"
    default_hint = "run: conductor plan list-plans"
    exit_code = Exit.NOT_FOUND


class ItemNotFound(PlanError):
    """There is no such item."""

    code = "PLAN_ITEM_NOT_FOUND"
    default_hint = "run: conductor plan list-items --plan-id PLAN"
    exit_code = Exit.NOT_FOUND


class LinkNotFound(PlanError):
    """There is no such link."""

    code = "PLAN_LINK_NOT_FOUND"
    default_hint = "run: conductor plan show-plan --plan-id PLAN"
    exit_code = Exit.NOT_FOUND


class IdTaken(PlanError):
    """The id is already in use."""

    code = "PLAN_ID_TAKEN"
    default_hint = "choose another id, or leave it out"


class KeyReused(PlanError):
    """The idempotency key was used for another request."""

    code = "PLAN_KEY_REUSED"
    default_hint = "use a new key for a new request"


class PlanArchived(PlanError):
    """The plan is archived."""

    code = "PLAN_ARCHIVED"
    default_hint = "run: conductor plan update-plan --plan-id PLAN --status ACTIVE"


class VersionConflict(PlanError):
    """Someone else changed it first."""

    code = "PLAN_CONFLICT"
    default_hint = "read it again and decide again: conductor plan explain --item-id ITEM"


class MoveIllegal(PlanError):
    """An item cannot go from this state to that one."""

    code = "PLAN_MOVE_ILLEGAL"


class DependenciesOpen(PlanError):
    """The item still waits for others."""

    code = "PLAN_DEPENDENCIES_OPEN"


class ResultMissing(PlanError):
    """An item that was handed to execution is done only with a result."""

    code = "PLAN_RESULT_MISSING"
    default_hint = "run: conductor plan record-result --item-id ITEM --expected-version N"


class HandshakeOrder(PlanError):
    """The execution handshake goes ready, requested, result."""

    code = "PLAN_HANDSHAKE_ORDER"


class TokenStale(PlanError):
    """The write does not carry the token of the item's present claim."""

    code = "PLAN_TOKEN_STALE"
    default_hint = "claim it again: conductor plan claim --item-id ITEM"


class ClaimHeld(PlanError):
    """Someone else holds the item."""

    code = "PLAN_CLAIM_HELD"
    default_hint = "take another one: conductor plan claim --plan-id PLAN"
    exit_code = Exit.BUSY


class NotClaimable(PlanError):
    """The item cannot be worked on now."""

    code = "PLAN_NOT_CLAIMABLE"


class NothingReady(PlanError):
    """No item of the plan is ready."""

    code = "PLAN_NOTHING_READY"
    default_hint = "run: conductor plan blocked --plan-id PLAN"
    exit_code = Exit.NOT_FOUND


class PathsReserved(PlanError):
    """A path is reserved for another item."""

    code = "PLAN_PATHS_RESERVED"
    default_hint = "wait for it, or take another item: conductor plan ready --plan-id PLAN"
    exit_code = Exit.BUSY


class LinkRefused(PlanError):
    """The link makes no sense here."""

    code = "PLAN_LINK_REFUSED"
    default_hint = "run: conductor plan show-plan --plan-id PLAN"


class LinkCycle(LinkRefused):
    """The link would make items wait for each other."""

    code = "PLAN_LINK_CYCLE"


class ScenarioRefused(PlanError):
    """The scenario was refused before anything was written."""

    code = "PLAN_SCENARIO_REFUSED"
    default_hint = "put it below scenarios/ in the workspace and name it relative to that"
    exit_code = Exit.USAGE


class ScenarioMissing(PlanError):
    """There is no such scenario."""

    code = "PLAN_SCENARIO_MISSING"
    default_hint = "run: ls scenarios"
    exit_code = Exit.NOT_FOUND


class ExpectationFailed(PlanError):
    """A step that should have been a conflict was none; nothing of the scenario was kept."""

    code = "PLAN_EXPECTATION_FAILED"
    default_hint = "compare the scenario's expected_version with the item's version at that step"
    exit_code = Exit.EXPECTATION


class OrderRefused(PlanError):
    """The work order was refused."""

    code = "ORDER_REFUSED"
    default_hint = "correct the field, and submit the order again"
    exit_code = Exit.USAGE


class OrderNotFound(PlanError):
    """There is no such work order."""

    code = "ORDER_NOT_FOUND"
    default_hint = "run: conductor plan order-list"
    exit_code = Exit.NOT_FOUND


class OrderInFlight(PlanError):
    """Another work order has this id."""

    code = "ORDER_IN_FLIGHT"
    default_hint = "look at it: conductor plan order-show --wo-id ID"
    exit_code = Exit.BUSY


class OrderNotHeld(PlanError):
    """The caller does not hold this work order."""

    code = "ORDER_NOT_HELD"
    default_hint = "look at it: conductor plan order-show --wo-id ID"


class NoOrderDue(PlanError):
    """No work order is due for this target."""

    code = "ORDER_NONE_DUE"
    default_hint = "run: conductor plan order-list"
    exit_code = Exit.NOT_FOUND


class TruthTargetRefused(PlanError):
    """The block cannot be written there."""

    code = "TRUTH_TARGET_REFUSED"
    default_hint = (
        "put the two marker lines into a file of the workspace; see: conductor truth --help"
    )
    exit_code = Exit.USAGE
