"""Kullback–Leibler divergence between any two laws of one family for which it is known."""

from itssl.distributions import gaussian, scalar_divergences
from itssl.distributions.gaussian import Gaussian, LawError
from itssl.distributions.law import Law
from itssl.distributions.manifolds import ManifoldLaw
from itssl.distributions.products import Product, total
from itssl.distributions.scalar_families import ScalarLaw
from itssl.estimate import Estimate


def kl_divergence(p: Law | ManifoldLaw, q: Law | ManifoldLaw) -> Estimate:
    """D(P‖Q) in nats, exact: Gaussian, scalar, elliptical, Dirichlet and log-normal laws, von Mises–Fisher, products.

    ∫ p log(p/q) [1], by the formulas in ``kl_divergence`` of the laws.
    Raises LawError when the two laws are of different kinds or no closed form is known.

    References
    ----------
    [1] Cover & Thomas (2006). Elements of Information Theory, ch. 8.

    >>> from itssl.distributions.products import uniform_box
    >>> print(f"{kl_divergence(uniform_box([0, 0], [1, 1]), uniform_box([0, 0], [2, 3])).value:.4f}")  # log 6
    1.7918
    """
    if isinstance(p, Gaussian) and isinstance(q, Gaussian):
        return gaussian.kl_divergence(p, q)
    if isinstance(p, ScalarLaw) and isinstance(q, ScalarLaw):
        return scalar_divergences.kl_divergence(p, q)
    if isinstance(p, Product) and isinstance(q, Product):
        if [law.dim for law in p.laws] != [law.dim for law in q.laws]:
            raise LawError(f"q: expected a product split like {p!r}, got {q!r}")
        parts = [kl_divergence(one, two) for one, two in zip(p.laws, q.laws, strict=True)]
        return total(parts, "KL divergence of products")
    own = getattr(p, "kl_divergence", None)
    if own is None or type(p) is not type(q):
        raise LawError(f"q: expected a law with a closed divergence from {p!r}, got {q!r}; use monte_carlo")
    return own(q)
