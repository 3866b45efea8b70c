-- Lines up to the as-of date that equal another line in every column. What an earlier snapshot found is added.
-- inputs: order_lines, previous_check_results
-- output: check_results
-- grain: check_name
-- parameters: as_of DATE
-- severity: warning
-- message: Equal lines may be two pieces sold or one line exported twice. Where it is the latter, set
-- policy.duplicates = 'set_aside'.
WITH dated AS (
    SELECT
        customer_id, ordered_at, revenue, revenue_text, order_id, sku, quantity, unit_price, list_price, unit_cost,
        discount, store_id, channel, currency, returned_at, original_order_id, is_product,
        coalesce(customer_id, '') AS who,
        coalesce(order_id, '') AS which_order,
        coalesce(sku, '') AS what
    FROM order_lines
    WHERE CAST(ordered_at AS DATE) <= $as_of
),
-- few columns first: all of them only for the lines that these leave in doubt
alike AS (
    SELECT who, which_order, what, ordered_at
    FROM dated
    GROUP BY who, which_order, what, ordered_at, revenue
    HAVING count(*) > 1
),
equal AS (
    SELECT
        min(coalesce('order ' || order_id || ' on ', 'a line of ') || CAST(CAST(ordered_at AS DATE) AS VARCHAR))
            AS example,
        count(*) - 1 AS copies
    FROM dated
    SEMI JOIN alike USING (who, which_order, what, ordered_at)
    GROUP BY
        customer_id, ordered_at, revenue, revenue_text, order_id, sku, quantity, unit_price, list_price, unit_cost,
        discount, store_id, channel, currency, returned_at, original_order_id, is_product
    HAVING count(*) > 1
    UNION ALL
    SELECT example, found AS copies
    FROM previous_check_results
    WHERE check_name = 'duplicate_lines' AND found > 0
)
SELECT CAST(coalesce(sum(copies), 0) AS BIGINT) AS found, coalesce(min(example), '') AS example
FROM equal
