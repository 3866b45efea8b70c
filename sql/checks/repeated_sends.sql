-- Customers with several rows in one campaign.
-- inputs: sends, resolved_customer_links
-- output: check_results
-- grain: check_name
-- parameters:
-- severity: info
-- message: The first row of each counts as his arm; write reminders as campaigns of their own.
WITH repeated AS (
    SELECT
        coalesce(resolved_customer_links.customer_id, sends.customer_id) AS customer_id,
        sends.campaign
    FROM sends
    LEFT JOIN resolved_customer_links ON sends.customer_id = resolved_customer_links.old_id
    WHERE trim(sends.customer_id) <> '' AND trim(sends.arm) <> '' AND sends.sent_at IS NOT NULL
    GROUP BY coalesce(resolved_customer_links.customer_id, sends.customer_id), sends.campaign
    HAVING count(*) > 1
)
SELECT count(*) AS found, coalesce(min('customer ' || customer_id || ' in campaign ' || campaign), '') AS example
FROM repeated
