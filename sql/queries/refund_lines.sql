-- The refunds that count, equal lines together, before they are matched to sales. revenue is the money of all the
-- equal lines. Refunds of an earlier snapshot come from previous_return_lines, which a full build has empty.
-- inputs: judged_order_lines, previous_return_lines
-- output: refund_lines
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
    count(*) AS lines,
    CAST(sum(revenue) AS DECIMAL(18, 2)) AS revenue,
    CAST(sum(revenue_reporting) AS DECIMAL(18, 2)) AS revenue_reporting
FROM judged_order_lines
WHERE is_used AND judged_order_lines.revenue < 0
GROUP BY
    customer_id, day, ordered_at, sku, order_id, original_order_id, source_customer_id, currency,
    judged_order_lines.revenue
UNION ALL
SELECT
    customer_id, day, ordered_at, sku, order_id, original_order_id, source_customer_id, currency, lines, revenue,
    revenue_reporting
FROM previous_return_lines
