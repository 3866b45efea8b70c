-- Items of which some units were sold in a currency without an exchange rate, and the share of all their units that
-- these are: the price panel does not count them.
-- inputs: priced_lines
-- output: units_without_rate
-- grain: item
-- parameters:
SELECT
    item,
    CAST(sum(CASE WHEN reason = 'missing_exchange_rate' THEN quantity ELSE 0 END) AS DECIMAL(18, 3)) AS units,
    CAST(sum(CASE WHEN reason = 'missing_exchange_rate' THEN quantity ELSE 0 END) AS DOUBLE)
        / nullif(CAST(sum(quantity) AS DOUBLE), 0) AS share
FROM priced_lines
WHERE reason IN ('', 'missing_exchange_rate')
GROUP BY item
HAVING count(CASE WHEN reason = 'missing_exchange_rate' THEN 1 END) > 0
