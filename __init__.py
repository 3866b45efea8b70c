"""regulars: customer value, uplift and markdown decisions from order history in Parquet."""

__version__ = "0.1.0"
