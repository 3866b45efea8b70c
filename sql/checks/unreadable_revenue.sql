-- Lines whose revenue could not be read or does not fit DECIMAL(18,2).
-- inputs: rejected_order_lines
-- output: check_results
-- grain: check_name
-- parameters:
-- severity: warning
-- message: These lines are set aside. Map orders.columns.revenue to an expression that makes a number of their text.
SELECT
    CAST(coalesce(sum(lines), 0) AS BIGINT) AS found,
    coalesce(min(coalesce(revenue_text, 'NULL')), '') AS example
FROM rejected_order_lines
WHERE reason = 'unreadable_revenue'
