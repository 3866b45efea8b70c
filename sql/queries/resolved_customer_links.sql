-- Follows chains of customer links (a -> b -> c) to their end, so that each old id names its customer of today.
-- An id in a circle has no end; the check customer_link_cycles finds it. A doubled old id counts once, with its
-- smallest target; the check ambiguous_customer_links finds it.
-- inputs: customer_links
-- output: resolved_customer_links
-- grain: old_id
-- parameters:
WITH RECURSIVE links AS (
    SELECT old_id, min(customer_id) AS customer_id
    FROM customer_links
    WHERE old_id <> customer_links.customer_id
    GROUP BY old_id
),
walk AS (
    SELECT old_id, customer_id, 1 AS hops FROM links
    UNION ALL
    SELECT walk.old_id, links.customer_id, walk.hops + 1 AS hops
    FROM walk
    JOIN links ON links.old_id = walk.customer_id
    -- back at its beginning a circle ends; 32 steps end the way into one
    WHERE walk.hops < 32 AND walk.old_id <> links.customer_id
)
SELECT old_id, arg_max(customer_id, hops) AS customer_id
FROM walk
GROUP BY old_id
