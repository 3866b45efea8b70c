-- What the price panel does not count, by reason, beside what it does (reason ''): lines, units and money.
-- inputs: priced_lines
-- output: panel_lines_dropped
-- grain: reason
-- parameters:
SELECT
    reason,
    count(*) AS lines,
    CAST(coalesce(sum(quantity), 0) AS DECIMAL(18, 3)) AS units,
    CAST(coalesce(sum(revenue), 0) AS DECIMAL(18, 2)) AS revenue
FROM priced_lines
WHERE in_category
GROUP BY reason
