"""Parts that pages share, each with layout, callbacks and a static export."""
