"""Why a pack is refused: one class and one code for each reason.

Promise: every refusal carries the offending value (`data["value"]`) and the fix (`hint`), so that
a list of them is a list of edits. Refusal: nothing here decides; `pack_rules` and the registry do.
"""

from __future__ import annotations

from collections.abc import Mapping

from conductor_sdk.errors import ConductorError, Exit


class PackRefused(ConductorError):
    """The pack was refused."""

    code = "PACK_REFUSED"
    default_hint = "run: conductor pack validate DIRECTORY"
    exit_code = Exit.BAD_CONFIG

    def __init__(
        self,
        detail: str = "",
        *,
        value: object = None,
        hint: str | None = None,
        data: Mapping[str, object] | None = None,
    ) -> None:
        """Build the refusal.

        Args:
            detail: What and where.
            value: The offending value, as it stands in the manifest.
            hint: The edit that mends it.
            data: Further facts for JSON output.
        """
        facts: dict[str, object] = {} if value is None else {"value": value}
        super().__init__(detail, hint=hint, data={**facts, **(data or {})})


class SlugMismatch(PackRefused):
    """Pack slug prefix mismatch: an emitted kind does not begin with the pack's slug."""

    code = "PACK_SLUG_MISMATCH"
    default_hint = "name emitted kinds <slug>:<event_name_snake_case>"


class BackpressureMissing(PackRefused):
    """Missing backpressure_policy entry for an emitted kind."""

    code = "BACKPRESSURE_MISSING"
    default_hint = "choose queue or ephemeral for it in backpressure_policy"


class BackpressureExtra(PackRefused):
    """A backpressure_policy entry names a kind that is not emitted."""

    code = "BACKPRESSURE_EXTRA"
    default_hint = "remove the entry, or add the kind to emitted_event_kinds"


class HandlerMissing(PackRefused):
    """A subscribed kind has no handler."""

    code = "HANDLER_MISSING"
    default_hint = "add {kind: handler} to the pack's handlers"


class HandlerExtra(PackRefused):
    """A handler is registered for a kind that is not subscribed."""

    code = "HANDLER_EXTRA"
    default_hint = "add the kind to subscribed_event_kinds, or remove the handler"


class SurfaceUnavailable(PackRefused):
    """The pack needs a surface that is not available."""

    code = "SURFACE_UNAVAILABLE"
    default_hint = "enable the surface, or remove it from surfaces_required"


class ApprovalProviderMissing(PackRefused):
    """No approval provider is installed for an approval that the pack requires."""

    code = "APPROVAL_PROVIDER_MISSING"
    default_hint = "install a provider for it, or remove it from required_approvals"


class SlugTaken(PackRefused):
    """Another loaded pack has this slug."""

    code = "SLUG_TAKEN"
    default_hint = "give one of the two another slug, or turn one off in the configuration"


class SlugReserved(PackRefused):
    """The slug belongs to the daemon."""

    code = "SLUG_RESERVED"
    default_hint = "choose another slug"


class ManifestInvalid(PackRefused):
    """The manifest is invalid."""

    code = "MANIFEST_INVALID"


class YamlRefused(ManifestInvalid):
    """The YAML text is malformed or uses what is not accepted here."""

    code = "YAML_REFUSED"
    default_hint = "write plain YAML 1.2: no aliases, no tags, no repeated keys"


class PackImportFailed(PackRefused):
    """The pack could not be imported."""

    code = "PACK_IMPORT_FAILED"
    default_hint = "install what it imports, then run: conductor packs"


class PackNotAPack(PackRefused):
    """The entry point does not hold a Pack."""

    code = "PACK_NOT_A_PACK"
    default_hint = "point it at a conductor_sdk.Pack object: module:pack"


class PackContextFailed(PackRefused):
    """The pack's own context could not be made."""

    code = "PACK_CONTEXT_FAILED"
    default_hint = "mend the function that is given as context=, then restart: conductor sidecar"


class PackNotFound(PackRefused):
    """No such pack."""

    code = "PACK_NOT_FOUND"
    default_hint = "run: conductor packs"
    exit_code = Exit.NOT_FOUND


class OutcomeInvalid(ConductorError):
    """The handler returned something that is not an outcome."""

    code = "OUTCOME_INVALID"
    default_hint = "return Handled, Replayed, Ignored, Retry or Reject"


class StorageFailed(ConductorError):
    """The pack's storage could not be read or written."""

    code = "PACK_STORAGE_FAILED"
    default_hint = "run: conductor doctor"
    retryable = True


class StorageClosed(StorageFailed):
    """The pack's storage is closed."""

    code = "PACK_STORAGE_CLOSED"
    default_hint = "start it again: conductor sidecar"


class StorageMisused(ConductorError):
    """The work broke the rules of the pack's storage."""

    code = "PACK_STORAGE_MISUSED"
    default_hint = "let run() and run_once() begin and end the transaction"


class ToolDuplicate(PackRefused):
    """Two tools of the manifest have one name."""

    code = "TOOL_DUPLICATE"
    default_hint = "rename one of the two"


class ApprovalForeign(PackRefused):
    """A tool requires an approval that is not named after its pack."""

    code = "APPROVAL_FOREIGN"
    default_hint = "name approvals <slug>:<name>"


class ScopeDenied(ConductorError):
    """The call's scopes do not reach there."""

    code = "SCOPE_DENIED"
    default_hint = "declare the path in the tool's required_scopes, and allow it in tools.scopes"
    exit_code = Exit.TOKEN_REFUSED
