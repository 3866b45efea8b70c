-- Refund lines that count, equal lines together, each with what of it was matched to earlier sales.
-- inputs: return_matches
-- output: return_lines
-- grain: customer_id, ordered_at, sku, order_id, original_order_id, source_customer_id, currency, revenue
-- parameters:
SELECT
    customer_id,
    day,
    ordered_at,
    sku,
    order_id,
    original_order_id,
    source_customer_id,
    currency,
    lines,
    revenue,
    CAST(-amount AS DECIMAL(18, 2)) AS revenue_reporting,
    settled AS matched_revenue
FROM return_matches
WHERE is_refund
