-- Lines later than the as-of date.
-- inputs: rejected_order_lines
-- output: check_results
-- grain: check_name
-- parameters:
-- severity: warning
-- message: These lines are set aside. Where value.as_of is not set they lie in the future: check the clock and the
-- time zone of the export.
SELECT
    CAST(coalesce(sum(lines), 0) AS BIGINT) AS found,
    coalesce(min(coalesce('order ' || order_id || ' on ', 'a line of ') || CAST(CAST(ordered_at AS DATE) AS VARCHAR)), '') AS example
FROM rejected_order_lines
WHERE reason = 'after_as_of'
