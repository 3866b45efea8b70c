-- Linked ids whose chain has no end.
-- inputs: customer_links, resolved_customer_links
-- output: check_results
-- grain: check_name
-- parameters:
-- severity: blocking
-- message: Following these links comes back to where it began, or takes more than 32 steps: take one link out of the
-- circle.
SELECT
    count(*) AS found,
    coalesce(min(resolved_customer_links.old_id), '') AS example
FROM resolved_customer_links
SEMI JOIN customer_links
    ON customer_links.old_id = resolved_customer_links.customer_id
    AND customer_links.customer_id <> customer_links.old_id
