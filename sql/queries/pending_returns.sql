-- Sale lines that are marked as returned after the as-of date. Where there are any, a later build must read them again.
-- inputs: order_lines
-- output: pending_returns
-- grain:
-- parameters: as_of DATE
SELECT count(*) AS lines
FROM order_lines
WHERE CAST(returned_at AS DATE) > $as_of
