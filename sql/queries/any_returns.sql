-- One row where the input holds any refund or any line marked as returned, none otherwise: without returns nothing has
-- to be matched.
-- inputs: order_lines
-- output: any_returns
-- grain:
-- parameters: refunds VARCHAR
SELECT TRUE AS found
FROM order_lines
WHERE $refunds = 'net' AND (revenue < 0 OR returned_at IS NOT NULL)
LIMIT 1
