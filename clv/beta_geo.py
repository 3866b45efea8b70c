"""BG/NBD: a customer may leave after each repeat purchase (Fader, Hardie & Lee 2005, Marketing Science 24(2))."""

from .beta_geometric import BetaGeometricModel


class BetaGeoModel(BetaGeometricModel):
    """Purchases at a Gamma(r, alpha) rate; after each repeat purchase a customer leaves with probability Beta(a, b).

    Who has bought once only has had no repeat purchase to leave at, so P(alive) of every one-time buyer is 1, however
    long ago that was; :class:`~regulars.clv.modified_beta_geo.ModifiedBetaGeoModel` mends it.

    References
    ----------
    Fader, Hardie & Lee (2005), "Counting Your Customers" the Easy Way, Marketing Science 24(2), 275-284.

    Examples
    --------
    >>> model = BetaGeoModel.from_parameters(r=0.243, alpha=4.414, a=0.793, b=2.426)
    >>> customer = {"frequency": [2], "recency": [30.43], "T": [38.86]}
    >>> model.expected_purchases(customer, horizon=39).round(6)
    array([1.226028])
    >>> model.probability_alive(customer).round(6)
    array([0.726579])
    """

    name = "bg_nbd"
    chances_at_start = 0
