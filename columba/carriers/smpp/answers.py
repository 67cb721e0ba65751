"""What a command_status means for the part that it answers: sent, or what to do now, with an error that people can read.

The table is ours, a carrier's configuration overrules it. A code that neither has (the vendors' own are of this kind) is
tried again, and ends as `carrier_failed` when it goes on. Nothing here fails.
"""

from collections.abc import Callable, Mapping
from typing import Final

from columba.core.contract import Outcome, OutcomeKind
from columba.smpp.pdu import Response
from columba.smpp.status import Status as S
from columba.smpp.status import name_of
from columba.smpp.tlv import ADDITIONAL_STATUS_INFO_TEXT, find

from .config import Action, Config, status_of

UNSENT: Final = Outcome("unsent")
UNKNOWN: Final = Outcome("unknown", None, "no_answer")

_RETRY: tuple[Action, str] = ("retry", "carrier_failed")
_THROTTLE: tuple[Action, str] = ("throttle", "throttled")
_REJECTED: tuple[Action, str] = ("fail", "rejected")
_NUMBER: tuple[Action, str] = ("fail", "unknown_number")
_ELSEWHERE: tuple[Action, str] = ("reroute", "rejected")

TABLE: Final[Mapping[int, tuple[Action, str]]] = {
    S.ESME_RTHROTTLED: _THROTTLE,
    S.ESME_RMSGQFUL: _THROTTLE,
    # The carrier's trouble, or the session's.
    S.ESME_RSYSERR: _RETRY,
    S.ESME_RSUBMITFAIL: _RETRY,
    S.ESME_RINVBNDSTS: _RETRY,
    S.ESME_RALYBND: _RETRY,
    S.ESME_RX_T_APPN: _RETRY,
    S.ESME_RUNKNOWNERR: _RETRY,
    S.ESME_RSERTYPUNAVAIL: _RETRY,
    # About this message, wherever it goes.
    S.ESME_RINVDSTADR: _NUMBER,
    S.ESME_RINVDSTTON: _NUMBER,
    S.ESME_RINVDSTNPI: _NUMBER,
    S.ESME_RX_P_APPN: _REJECTED,
    S.ESME_RX_R_APPN: _REJECTED,
    S.ESME_RDELIVERYFAILURE: _REJECTED,
    S.ESME_RINVMSGLEN: _REJECTED,
    S.ESME_RINVEXPIRY: _REJECTED,
    S.ESME_RINVSCHED: _REJECTED,
    # About what this carrier takes: another may take it.
    S.ESME_RINVCMDLEN: _ELSEWHERE,
    S.ESME_RINVCMDID: _ELSEWHERE,
    S.ESME_RINVPRTFLG: _ELSEWHERE,
    S.ESME_RINVREGDLVFLG: _ELSEWHERE,
    S.ESME_RINVSRCADR: _ELSEWHERE,
    S.ESME_RINVSRCTON: _ELSEWHERE,
    S.ESME_RINVSRCNPI: _ELSEWHERE,
    S.ESME_RINVSERTYP: _ELSEWHERE,
    S.ESME_RINVESMCLASS: _ELSEWHERE,
    S.ESME_RINVSYSTYP: _ELSEWHERE,
    S.ESME_RINVREPFLAG: _ELSEWHERE,
    S.ESME_RINVDFTMSGID: _ELSEWHERE,
    S.ESME_RINVOPTPARSTREAM: _ELSEWHERE,
    S.ESME_ROPTPARNOTALLWD: _ELSEWHERE,
    S.ESME_RINVPARLEN: _ELSEWHERE,
    S.ESME_RMISSINGOPTPARAM: _ELSEWHERE,
    S.ESME_RINVOPTPARAMVAL: _ELSEWHERE,
    S.ESME_RSERTYPUNAUTH: _ELSEWHERE,
    S.ESME_RPROHIBITED: _ELSEWHERE,
    S.ESME_RSERTYPDENIED: _ELSEWHERE,
    S.ESME_RINVDCS: _ELSEWHERE,
}
_KINDS: Final[Mapping[Action, OutcomeKind]] = {
    "retry": "retry",
    "fail": "failed",
    "throttle": "throttled",
    "reroute": "reroute",
}
_ERRORS: Final[Mapping[Action, str]] = {
    "retry": "carrier_failed",
    "fail": "rejected",
    "throttle": "throttled",
    "reroute": "rejected",
}


def refusals(config: Config) -> Callable[[Response], Outcome]:
    """What a response that is not ESME_ROK comes to with this carrier."""
    table = dict(TABLE)
    for status, action in config.command_status.items():
        number = status_of(status)
        known = table.get(number)
        table[number] = (action, known[1] if known is not None and known[0] == action else _ERRORS[action])

    def outcome(response: Response) -> Outcome:
        action, error = table.get(response.status, _RETRY)
        code = name_of(response.status)
        words = find(response.tlvs, ADDITIONAL_STATUS_INFO_TEXT)
        if words and words.isprintable():
            code = f"{code}: {words[:100]}"
        return Outcome(_KINDS[action], None, error, code)

    return outcome
