"""The pictures of the page that matplotlib draws, as data with words that say what they show."""

from itssl.claims.ledger import Ledger


def pictures(ledger: Ledger) -> list[dict[str, str]]:
    return []
