"""MBG/NBD: BG/NBD in which a customer may also leave after the first purchase (Batislam et al. 2007)."""

from .beta_geometric import BetaGeometricModel


class ModifiedBetaGeoModel(BetaGeometricModel):
    """Purchases at a Gamma(r, alpha) rate; after every purchase, the first too, a customer leaves with p ~ Beta(a, b).

    References
    ----------
    Batislam, Denizel & Filiztekin (2007), Empirical validation and comparison of models for customer base analysis,
    International Journal of Research in Marketing 24(3), 201-209.

    Examples
    --------
    >>> model = ModifiedBetaGeoModel.from_parameters(r=0.525, alpha=6.183, a=0.891, b=1.614)
    >>> model.probability_alive({"frequency": [0], "recency": [0.0], "T": [39.0]}).round(3)
    array([0.389])
    """

    name = "mbg_nbd"
    chances_at_start = 1
