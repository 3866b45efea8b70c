-- Customers with several arms in one campaign.
-- inputs: sends, resolved_customer_links
-- output: check_results
-- grain: check_name
-- parameters:
-- severity: warning
-- message: The first arm of each counts, and what the other did is laid to it: give every customer one arm a campaign.
WITH mixed AS (
    SELECT
        coalesce(resolved_customer_links.customer_id, sends.customer_id) AS customer_id,
        sends.campaign
    FROM sends
    LEFT JOIN resolved_customer_links ON sends.customer_id = resolved_customer_links.old_id
    WHERE trim(sends.customer_id) <> '' AND trim(sends.arm) <> '' AND sends.sent_at IS NOT NULL
    GROUP BY coalesce(resolved_customer_links.customer_id, sends.customer_id), sends.campaign
    HAVING count(DISTINCT sends.arm) > 1
)
SELECT count(*) AS found, coalesce(min('customer ' || customer_id || ' in campaign ' || campaign), '') AS example
FROM mixed
