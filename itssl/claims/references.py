"""Sources that more than one claim cites."""

from itssl.estimate import Reference

SHWARTZ_ZIV_2023 = Reference(
    authors="Shwartz-Ziv, Balestriero, Kawaguchi, Rudner & LeCun",
    title="An information-theoretic perspective on variance-invariance-covariance regularization",
    year=2023,
    where="NeurIPS",
)
COVER_THOMAS_2006 = Reference(
    authors="Cover & Thomas", title="Elements of Information Theory", year=2006, where="Wiley, 2nd edition"
)
