-- The share of customers not back so many days after their n-th purchase day: Kaplan-Meier (1958), with Greenwood's
-- variance and the log-log 95% band (Kalbfleisch & Prentice 2002, section 1.4); while $least customers are watched.
-- inputs: gap_life_table
-- output: churn_survival
-- grain: purchase, days
-- parameters: least BIGINT, longest BIGINT
WITH walked AS (
  SELECT
    purchase,
    days,
    customers,
    bool_or(returned = customers) OVER so_far AS all_are_back,
    sum(CASE WHEN returned < customers THEN ln(1 - returned / nullif(customers, 0)) ELSE 0 END) OVER so_far AS log_survival,
    sum(CASE WHEN returned < customers THEN returned / nullif(customers * (customers - returned), 0) ELSE 0 END)
      OVER so_far AS variance
  FROM gap_life_table
  WINDOW so_far AS (PARTITION BY purchase ORDER BY days)
)
SELECT
  purchase,
  days,
  customers,
  CASE WHEN all_are_back THEN 0 ELSE exp(log_survival) END AS survival,
  CASE WHEN NOT all_are_back AND log_survival < 0
    THEN exp(log_survival * exp(1.959963984540054 * sqrt(variance) / nullif(-log_survival, 0))) END AS survival_low,
  CASE WHEN NOT all_are_back AND log_survival < 0
    THEN exp(log_survival * exp(-1.959963984540054 * sqrt(variance) / nullif(-log_survival, 0))) END AS survival_high
FROM walked
WHERE customers >= $least AND days <= $longest
ORDER BY purchase, days
