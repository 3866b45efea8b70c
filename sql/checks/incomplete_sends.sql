-- Rows of sends without a customer, a campaign, an arm or a time.
-- inputs: sends
-- output: check_results
-- grain: check_name
-- parameters:
-- severity: warning
-- message: They count in no campaign: map the columns of [sends] so that each row says who got what, and when.
SELECT
    count(*) AS found,
    coalesce(
        min('customer ' || coalesce(customer_id, '') || ' in campaign ' || coalesce(campaign, '')), ''
    ) AS example
FROM sends
WHERE
    coalesce(trim(customer_id), '') = ''
    OR coalesce(trim(campaign), '') = ''
    OR coalesce(trim(arm), '') = ''
    OR sent_at IS NULL
