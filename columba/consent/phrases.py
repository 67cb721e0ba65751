"""Plain phrases by which people ask for no more texts, for help, for texts again: a grammar of whole texts.

Pure. Every word of a text must have its place: pieces are optional only where their absence changes nothing.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final


def either(words: str) -> str:
    """Alternatives, written over as many lines as they take."""
    return "(?:" + "|".join(each.strip() for each in words.replace("\n", " ").split("|")) + ")"


_HELLO = (
    "(?:"
    + either(
        """hi|hello|hey|ok|okay|yo|sorry|no|nope|please|pls|plz|plse|just|kindly|can you|could you|would you|will you|
        you can|i said|i asked you to|i want you to|i would like you to|id like you to|you need to|you must|and|now"""
    )
    + " )*"
)
_BYE = (
    "(?: "
    + either(
        """please|pls|plz|now|immediately|asap|right now|today|thanks|thank you|thx|ty|anymore|any more|any longer|ever|
        ever again|again|forever|permanently|at once|already|sir|guys|everything"""
    )
    + ")*"
)
_OF_TEXTS = either(
    """all|any|the|these|those|this|your|further|future|more|such|such further|unwanted|spam|marketing|promotional|
    advertising|sms|text|of"""
)
_TEXTS = f"(?:{_OF_TEXTS} )*" + either(
    """texts?|txts?|messages?|messaging|msgs?|sms|smses|alerts?|notifications?|reminders?|promos?|promotions?|offers?|ads|
    adverts|marketing|spam|communications?|contact|updates|newsletters?"""
)
_ME = either("me|us|my number|this number|my phone|my cell|my name")
_HERE = either(
    """me|us|this (?:number|phone|cell|line)|my (?:number|phone|cell|mobile)|
    (?:this|the|your) (?:company|list|service|program|programme)|you|it"""
)
_WHERE = f"(?: (?:to|at|on|from) {_HERE})*"
_DOING = either(
    """sending|texting|messaging|contacting|bothering|spamming|txting|smsing|harassing|disturbing|pestering|writing|
    calling and texting|messaging and calling"""
)
_DO = either("text|txt|message|msg|sms|contact|spam|bother|send|write|write to")
_LIST = (
    f"(?: {_ME})? (?:from|off|of|out of|on)(?: (?:this|the|your|all|any|that))*(?: "
    + either("mailing|text|sms|messaging|marketing|contact|calling|distribution|phone|subscriber")
    + ")? "
    + either(
        """lists?|texts?|messages?|sms|database|records|system|service|program|programme|campaign|notifications|alerts|
        marketing"""
    )
)
_LEAVE = either(
    """stop|unsubscribe|unsub|opt out|optout|quit|be removed|be taken off|be unsubscribed|cancel my subscription"""
)
_ENGLISH: Final[Mapping[str, Sequence[str]]] = {
    "stop": (
        f"(?:stop|quit|cease)(?: (?:all|any|the))? {_DOING}(?: to)?(?: {_ME})?(?: {_TEXTS})?{_WHERE}",
        f"(?:stop|quit|cease|end|cancel|halt) {_TEXTS}{_WHERE}",
        "stop it",
        f"(?:do not|dont|never|quit|stop)(?: ever)? {_DO}(?: {_ME})?(?: {_TEXTS})?{_WHERE}",
        f"(?:i )?(?:do not|dont|no longer|never) (?:want|wish|need)(?: to (?:get|receive|have|see))? {_TEXTS}{_WHERE}",
        f"(?:i )?(?:do not|dont|no longer|never) (?:want|wish) to be (?:texted|contacted|messaged|spammed){_WHERE}",
        f"no more {_TEXTS}{_WHERE}",
        f"(?:unsubscribe|unsub|remove|delete|take|drop)(?: {_ME})?{_LIST}",
        f"(?:unsubscribe|unsub|remove|delete|opt out|cancel) (?:{_ME}|my subscription|subscription)",
        f"(?:i )?(?:want|wish|would like|need|id like)(?: to)? {_LEAVE}(?:{_LIST}|{_WHERE}| (?:of|from) {_TEXTS})?",
        f"(?:unsubscribe|opt out|optout)(?: me)?(?: (?:of|from) {_TEXTS})?",
        "opt me out",
        "(?:i )?(?:revoke|withdraw)(?: (?:my|all|any))* (?:consent|permission)(?: to (?:text|message|contact) me)?",
        "leave me alone",
        "(?:you have the )?wrong number (?:stop|quit) (?:texting|messaging)(?: me)?",
        "take me off",
    ),
    "help": (
        "how (?:do|can) i (?:stop|unsubscribe|opt out|end|cancel)(?: (?:this|these|it|your))?"
        "(?: (?:texts?|messages?|sms))?",
        "(?:who|what) is this",
    ),
    "start": (
        f"(?:start|resume)(?: (?:sending|texting|messaging))?(?: me)?(?: {_TEXTS})?(?: again)?",
        "(?:re )?subscribe me(?: again)?",
        "opt me (?:back )?in(?: again)?",
        "(?:i )?(?:want|would like|id like) to (?:opt in|subscribe|resubscribe)(?: again)?",
    ),
}
_SMS = "(?:sms|messages?|textos?)"
_MENSAJES = "(?:mensajes|sms|textos)"
_NACHRICHTEN = "(?:sms|nachrichten|werbung|texte|mitteilungen)"
_OTHERS: Final[Mapping[str, Sequence[str]]] = {
    "fr": (
        f"(?:merci de )?(?:ne )?(?:plus|pas) (?:m|me )?(?:envoyer|envoyez)(?: (?:de|des|vos|ces))?(?: {_SMS})?",
        f"(?:ne )?m ?envoyez plus(?: (?:de|des|vos|ces))?(?: {_SMS}| rien)?",
        "(?:arretez|arreter|stoppez|cessez)(?: de)?(?: m ?(?:envoyer|ecrire|contacter)| les| vos| ces)"
        f"(?: (?:des|vos|ces|les))?(?: {_SMS})?",
        "(?:je (?:veux|voudrais|souhaite) )?(?:me )?desabonne[rz](?: moi)?",
        f"plus de {_SMS}",
    ),
    "es": (
        f"(?:por favor )?(?:no|dejen?) (?:de )?(?:me )?(?:enviar|mandar|escribir|molestar)(?:me)?(?: mas)?(?: {_MENSAJES})?",
        f"(?:por favor )?no me (?:envien|manden|escriban)(?: mas)?(?: {_MENSAJES})?",
        f"no mas {_MENSAJES}",
        "(?:quiero )?(?:darme|dar|denme|dame) de baja",
        f"no quiero (?:recibir )?(?:mas )?{_MENSAJES}",
    ),
    "de": (
        f"(?:bitte )?keine (?:weiteren |mehr )?{_NACHRICHTEN}(?: mehr)?(?: (?:senden|schicken|schreiben))?(?: bitte)?",
        f"(?:bitte )?(?:schreiben|schicken|senden) sie mir (?:keine|nicht)(?: {_NACHRICHTEN})? mehr(?: bitte)?",
        "(?:bitte )?(?:hort|horen sie|hor) (?:bitte )?auf(?: mir zu schreiben| damit)?",
        f"ich (?:mochte|will) (?:mich abmelden|keine {_NACHRICHTEN} mehr(?: erhalten| bekommen)?)",
    ),
}
_GRAMMAR: Final = [
    *((meaning, "en", re.compile(f"{_HELLO}(?:{'|'.join(each)}){_BYE}")) for meaning, each in _ENGLISH.items()),
    *(("stop", language, re.compile("|".join(each))) for language, each in _OTHERS.items()),
]


def meaning_of(said: str) -> tuple[str, str] | None:
    """What a text asks for, and in which language. `said` is in small letters without accents, one space apart."""
    for meaning, language, grammar in _GRAMMAR:
        if grammar.fullmatch(said):
            return meaning, language
    return None
