-- Order lines that were set aside, as the grid lists them: the largest sums first, numbered in that order.
-- inputs: rejected_order_lines
-- output: rejected_lines
-- grain: line
-- parameters:
WITH written AS (
    SELECT
        reason,
        nullif(trim(customer_id), '') AS customer_id,
        CAST(ordered_at AS DATE) AS ordered_on,
        coalesce(strftime(ordered_at, '%Y-%m-%d %H:%M'), ordered_at_text) AS ordered_at,
        revenue,
        coalesce(revenue_text, '') AS revenue_text,
        currency,
        order_id,
        sku,
        lines
    FROM rejected_order_lines
)
SELECT
    row_number() OVER (
        ORDER BY
            abs(coalesce(revenue, 0)) DESC, reason, ordered_on, customer_id, order_id, sku, ordered_at, revenue, currency,
            revenue_text, lines
    ) AS line,
    reason,
    replace(reason, '_', ' ') AS reason_said,
    customer_id,
    ordered_on,
    ordered_at,
    revenue,
    revenue_text,
    currency,
    order_id,
    sku,
    lines
FROM written
ORDER BY line
