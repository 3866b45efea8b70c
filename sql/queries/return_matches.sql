-- Matches refund money to sales, oldest sale first, never to a sale later than its return, in three rounds: the item of
-- the order that the refund names; that order's other items; the customer's sales of the same product. What is left
-- of a refund then has no sale. One row per sale with money that came back and per refund line: settled is the part
-- of amount that was matched.
-- In each round a pool's sales and refunds stand in order of time. level is what was refunded less what was sold so
-- far; its running maximum above zero is the money that no earlier sale covers; the rest is taken from the sales'
-- running sum from its start.
-- inputs: matchable_sales, refund_lines
-- output: return_matches
-- grain: customer_id, day, is_refund, sku, order_id, ordered_at, original_order_id, source_customer_id, currency, revenue
-- parameters:
WITH events AS (
    SELECT
        customer_id,
        day,
        FALSE AS is_refund,
        sku,
        order_id,
        order_id AS named_order,
        CAST(NULL AS TIMESTAMP) AS ordered_at,
        CAST(NULL AS VARCHAR) AS original_order_id,
        CAST(NULL AS VARCHAR) AS source_customer_id,
        CAST(NULL AS VARCHAR) AS currency,
        CAST(NULL AS DECIMAL(18, 2)) AS revenue,
        CAST(1 AS BIGINT) AS lines,
        revenue AS amount,
        marked_returned AS settled
    FROM matchable_sales
    UNION ALL
    SELECT
        customer_id,
        day,
        TRUE AS is_refund,
        sku,
        order_id,
        coalesce(original_order_id, '') AS named_order,
        ordered_at,
        original_order_id,
        source_customer_id,
        currency,
        revenue,
        lines,
        -revenue_reporting AS amount,
        CAST(0 AS DECIMAL(18, 2)) AS settled
    FROM refund_lines
),
placed AS (
    SELECT
        *,
        coalesce(sku, '') AS product,
        row_number() OVER (
            PARTITION BY customer_id
            ORDER BY
                day, is_refund, ordered_at NULLS FIRST, order_id NULLS FIRST, sku NULLS FIRST,
                original_order_id NULLS FIRST, source_customer_id NULLS FIRST, currency NULLS FIRST, revenue NULLS FIRST
        ) AS place
    FROM events
),
named_orders AS (
    SELECT DISTINCT customer_id, named_order FROM events WHERE is_refund AND named_order <> ''
),
named AS (
    SELECT * FROM placed SEMI JOIN named_orders USING (customer_id, named_order)
),
-- round 1: the item of the order that the refund names
item_sums AS (
    SELECT
        *,
        sum(CASE WHEN is_refund THEN amount - settled ELSE settled - amount END) OVER so_far AS excess,
        sum(CASE WHEN is_refund THEN 0 ELSE amount - settled END) OVER so_far AS sold,
        sum(CASE WHEN is_refund THEN amount - settled ELSE 0 END) OVER pool AS refunded
    FROM named
    WINDOW
        pool AS (PARTITION BY customer_id, named_order, product),
        so_far AS (PARTITION BY customer_id, named_order, product ORDER BY place ROWS UNBOUNDED PRECEDING)
),
item_peaks AS (
    SELECT
        *,
        greatest(0, max(excess) OVER so_far) AS uncovered,
        greatest(0, coalesce(max(excess) OVER before, 0)) AS uncovered_before,
        refunded - greatest(0, max(excess) OVER pool) AS matched
    FROM item_sums
    WINDOW
        pool AS (PARTITION BY customer_id, named_order, product),
        so_far AS (PARTITION BY customer_id, named_order, product ORDER BY place ROWS UNBOUNDED PRECEDING),
        before AS (
            PARTITION BY customer_id, named_order, product ORDER BY place
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        )
),
item_settled AS (
    SELECT
        customer_id, day, is_refund, sku, order_id, named_order, ordered_at, original_order_id, source_customer_id,
        currency, revenue, lines, amount, product, place,
        CASE
            WHEN is_refund THEN amount - (uncovered - uncovered_before)
            ELSE settled + least(amount - settled, greatest(0, matched - (sold - (amount - settled))))
        END AS settled
    FROM item_peaks
),
-- round 2: the other items of that order
order_sums AS (
    SELECT
        *,
        sum(CASE WHEN is_refund THEN amount - settled ELSE settled - amount END) OVER so_far AS excess,
        sum(CASE WHEN is_refund THEN 0 ELSE amount - settled END) OVER so_far AS sold,
        sum(CASE WHEN is_refund THEN amount - settled ELSE 0 END) OVER pool AS refunded
    FROM item_settled
    WINDOW
        pool AS (PARTITION BY customer_id, named_order),
        so_far AS (PARTITION BY customer_id, named_order ORDER BY place ROWS UNBOUNDED PRECEDING)
),
order_peaks AS (
    SELECT
        *,
        greatest(0, max(excess) OVER so_far) AS uncovered,
        greatest(0, coalesce(max(excess) OVER before, 0)) AS uncovered_before,
        refunded - greatest(0, max(excess) OVER pool) AS matched
    FROM order_sums
    WINDOW
        pool AS (PARTITION BY customer_id, named_order),
        so_far AS (PARTITION BY customer_id, named_order ORDER BY place ROWS UNBOUNDED PRECEDING),
        before AS (
            PARTITION BY customer_id, named_order ORDER BY place
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        )
),
order_settled AS (
    SELECT
        customer_id, day, is_refund, sku, order_id, named_order, ordered_at, original_order_id, source_customer_id,
        currency, revenue, lines, amount, product, place,
        CASE
            WHEN is_refund THEN amount - (uncovered - uncovered_before)
            ELSE settled + least(amount - settled, greatest(0, matched - (sold - (amount - settled))))
        END AS settled
    FROM order_peaks
),
rest AS (
    SELECT * FROM order_settled
    UNION ALL
    SELECT
        customer_id, day, is_refund, sku, order_id, named_order, ordered_at, original_order_id, source_customer_id,
        currency, revenue, lines, amount, product, place, settled
    FROM placed
    ANTI JOIN named_orders USING (customer_id, named_order)
),
-- round 3: the customer's sales of the same product
product_sums AS (
    SELECT
        *,
        sum(CASE WHEN is_refund THEN amount - settled ELSE settled - amount END) OVER so_far AS excess,
        sum(CASE WHEN is_refund THEN 0 ELSE amount - settled END) OVER so_far AS sold,
        sum(CASE WHEN is_refund THEN amount - settled ELSE 0 END) OVER pool AS refunded
    FROM rest
    WINDOW
        pool AS (PARTITION BY customer_id, product),
        so_far AS (PARTITION BY customer_id, product ORDER BY place ROWS UNBOUNDED PRECEDING)
),
product_peaks AS (
    SELECT
        *,
        greatest(0, max(excess) OVER so_far) AS uncovered,
        greatest(0, coalesce(max(excess) OVER before, 0)) AS uncovered_before,
        refunded - greatest(0, max(excess) OVER pool) AS matched
    FROM product_sums
    WINDOW
        pool AS (PARTITION BY customer_id, product),
        so_far AS (PARTITION BY customer_id, product ORDER BY place ROWS UNBOUNDED PRECEDING),
        before AS (
            PARTITION BY customer_id, product ORDER BY place
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        )
),
product_settled AS (
    SELECT
        customer_id, day, is_refund, sku, order_id, named_order, ordered_at, original_order_id, source_customer_id,
        currency, revenue, lines, amount, product, place,
        CASE
            WHEN is_refund THEN amount - (uncovered - uncovered_before)
            ELSE settled + least(amount - settled, greatest(0, matched - (sold - (amount - settled))))
        END AS settled
    FROM product_peaks
)
SELECT
    customer_id,
    day,
    is_refund,
    sku,
    order_id,
    ordered_at,
    original_order_id,
    source_customer_id,
    currency,
    revenue,
    lines,
    CAST(amount AS DECIMAL(18, 2)) AS amount,
    CAST(settled AS DECIMAL(18, 2)) AS settled
FROM product_settled
WHERE is_refund OR settled > 0
