"""What is written where no template is named: one sentence in the person's language, and the line that phones read."""

from typing import Final

# By language: with a brand and without.
SENTENCES: Final[dict[str, tuple[str, str]]] = {
    "en": ("{code} is your {brand} code.", "{code} is your verification code."),
    "da": ("{code} er din kode til {brand}.", "{code} er din bekræftelseskode."),
    "de": ("{code} ist Ihr Code für {brand}.", "{code} ist Ihr Bestätigungscode."),
    "es": ("{code} es tu código de {brand}.", "{code} es tu código de verificación."),
    "fi": ("{code} on {brand}-koodisi.", "{code} on vahvistuskoodisi."),
    "fr": ("{code} est votre code {brand}.", "{code} est votre code de vérification."),
    "it": ("{code} è il tuo codice {brand}.", "{code} è il tuo codice di verifica."),
    "nb": ("{code} er koden din for {brand}.", "{code} er bekreftelseskoden din."),
    "nl": ("{code} is je code voor {brand}.", "{code} is je verificatiecode."),
    "pl": ("{code} to Twój kod {brand}.", "{code} to Twój kod weryfikacyjny."),
    "pt": ("{code} é o seu código {brand}.", "{code} é o seu código de verificação."),
    "sv": ("{code} är din kod för {brand}.", "{code} är din verifieringskod."),
}


def sentence(code: str, brand: str, language: str | None) -> str:
    """In the language, or in English."""
    named, plain = SENTENCES.get((language or "en").partition("-")[0].lower(), SENTENCES["en"])
    return named.format(code=code, brand=brand) if brand else plain.format(code=code)


def bound(text: str, code: str, domain: str | None) -> str:
    """With the last line by which a phone fills the code in on that domain's pages alone."""
    return text if domain is None else f"{text}\n\n@{domain} #{code}"
