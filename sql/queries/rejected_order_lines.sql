-- Order lines, and parts of refunds, that were set aside, each with its reason; equal lines stand in one row, whose
-- revenue is that of all of them. Lines that an earlier snapshot has rejected come from previous_rejected_order_lines,
-- which a full build has empty. Of erased customers' lines the day and the money stay, and nothing that names anybody.
-- inputs: judged_order_lines, unmatched_refunds, previous_rejected_order_lines
-- output: rejected_order_lines
-- grain:
-- parameters:
WITH judged AS (
    SELECT
        reason,
        CASE WHEN reason <> 'erased_customer' THEN source_customer_id END AS customer_id,
        CASE WHEN reason <> 'erased_customer' THEN ordered_at ELSE CAST(day AS TIMESTAMP) END AS ordered_at,
        CASE WHEN reason <> 'erased_customer' THEN ordered_at_text END AS ordered_at_text,
        revenue AS line_revenue,
        CASE WHEN reason <> 'erased_customer' THEN revenue_text END AS revenue_text,
        currency,
        CASE WHEN reason <> 'erased_customer' THEN order_id END AS order_id,
        CASE WHEN reason <> 'erased_customer' THEN sku END AS sku
    FROM judged_order_lines
    WHERE reason <> ''
),
rejected AS (
    SELECT
        reason, customer_id, ordered_at, ordered_at_text, line_revenue, revenue_text, currency, order_id, sku,
        count(*) AS lines
    FROM judged
    GROUP BY reason, customer_id, ordered_at, ordered_at_text, line_revenue, revenue_text, currency, order_id, sku
    UNION ALL
    SELECT
        reason,
        customer_id,
        ordered_at,
        ordered_at_text,
        -- back from the money of all equal lines to that of one, in whole cents
        CAST(
            CAST(round(CAST(revenue AS DECIMAL(19, 2)) * 100) AS BIGINT) // nullif(lines, 0)
                * CAST(0.01 AS DECIMAL(3, 2)) AS DECIMAL(18, 2)
        ) AS line_revenue,
        revenue_text,
        currency,
        order_id,
        sku,
        lines
    FROM previous_rejected_order_lines
    WHERE reason <> 'return_without_sale'
)
SELECT
    reason,
    customer_id,
    ordered_at,
    ordered_at_text,
    CAST(line_revenue * sum(lines) AS DECIMAL(18, 2)) AS revenue,
    revenue_text,
    currency,
    order_id,
    sku,
    CAST(sum(lines) AS BIGINT) AS lines
FROM rejected
GROUP BY reason, customer_id, ordered_at, ordered_at_text, line_revenue, revenue_text, currency, order_id, sku
UNION ALL
SELECT
    'return_without_sale' AS reason,
    source_customer_id AS customer_id,
    ordered_at,
    CAST(NULL AS VARCHAR) AS ordered_at_text,
    CAST(sum(revenue) AS DECIMAL(18, 2)) AS revenue,
    CAST(NULL AS VARCHAR) AS revenue_text,
    currency,
    order_id,
    sku,
    CAST(sum(lines) AS BIGINT) AS lines
FROM unmatched_refunds
GROUP BY source_customer_id, ordered_at, currency, order_id, sku
