"""The lint of the portable subset: each rule catches what it is for and says what to write instead."""

import pytest

from regulars.sql import portable_rules
from regulars.sql.errors import SettingsError
from regulars.sql.portable import lint_files, lint_text, main, query_files, to_spark

HEADER = "-- A query.\n-- inputs: t\n-- output: q\n-- grain:\n-- parameters: {}\n"


def findings(sql: str, parameters: str = "", name: str = "q") -> list[tuple[str, str]]:
    return [(f.rule, f.message) for f in lint_text(name, HEADER.format(parameters) + sql)]


def test_every_query_and_check_keeps_to_the_subset():
    assert [str(finding) for finding in lint_files(query_files())] == []


@pytest.mark.parametrize(
    ("sql", "rule", "instead"),
    [
        ("SELECT list(a ORDER BY b) AS x FROM t", "functions", "write string_agg(x, ',' ORDER BY key)"),
        ("SELECT first(a ORDER BY b) AS x FROM t", "functions", "write min(x), or arg_min(x, key)"),
        ("SELECT any_value(a) AS x FROM t", "functions", "write min(x), or arg_min(x, key)"),
        ("SELECT log(a) AS x FROM t", "functions", "write ln(x)"),
        ("SELECT hash(a) AS x FROM t", "functions", "write md5(x)"),
        ("SELECT dayofweek(a) AS x FROM t", "functions", "count days from a bound Monday"),
        ("SELECT isodow(a) AS x FROM t", "functions", "count days from a bound Monday"),
        ("SELECT extract(dow FROM a) AS x FROM t", "functions", "write year(day)"),
        ("SELECT percentile_cont(b) WITHIN GROUP (ORDER BY a) AS x FROM t", "functions", "write median(x)"),
        ("SELECT quantile_cont(a, b) AS x FROM t", "functions", "write median(x)"),
        ("SELECT skewness(a) AS x FROM t", "functions", "write it with sums of powers"),
        ("SELECT kurtosis(a) AS x FROM t", "functions", "write it with sums of powers"),
        ("SELECT a AS x FROM t USING SAMPLE 10 ROWS", "functions", "filter by md5(id)"),
        ("PIVOT t ON a USING sum(b)", "syntax", "one SELECT"),
        ("SELECT x FROM t PIVOT (sum(b) FOR a IN (1, 2))", "functions", "sum(x) FILTER"),
        ("SELECT COLUMNS('a.*') FROM t", "functions", "name the columns"),
        ("SELECT list_sum(a) AS x FROM t", "functions", "keep rows and sum(x)"),
        ("SELECT unnest(generate_series(1, b)) AS x FROM t", "functions", "cross join a VALUES of digits"),
        ("SELECT date_sub('day', a, b) AS x FROM t", "functions", "date_diff('day', a, b)"),
        ("SELECT epoch_ms(a) AS x FROM t", "functions", "date_diff('day', a, b)"),
        ("SELECT a[1:2] AS x FROM t", "functions", "write substr(text, from, length)"),
        ("SELECT lgamma(a) AS x FROM t", "functions", "work it out in Python"),
        ("SELECT strftime(a, '%Y') AS x FROM t", "functions", "CAST(day AS VARCHAR)"),
        ("SELECT random() AS x FROM t", "functions", "md5(id)"),
        ("SELECT current_date AS x FROM t", "functions", "bind $as_of"),
        ("SELECT now() AS x FROM t", "functions", "bind $as_of"),
        ("SELECT regexp_replace(a, 'b', '') AS x FROM t", "functions", "or add it there with its line"),
        ("SELECT levenshtein(a, b) AS x FROM t", "functions", "levenshtein is not known to give the same"),
        ("SELECT t.a FROM t ASOF JOIN t AS u ON t.a >= u.a", "joins", "lead(day) OVER (...)"),
        ("SELECT t.a FROM t NATURAL JOIN t AS u", "joins", "name the keys in ON"),
        ("SELECT a FROM (SELECT * REPLACE (a + 1 AS a) FROM t) AS u", "star_replace", "name the columns"),
        ("SELECT a / b AS x FROM t", "divisors", "write / nullif(b, 0)"),
        ("SELECT a // (b + 1) AS x FROM t", "divisors", "write // nullif(b + 1, 0)"),
        ("SELECT a % b AS x FROM t", "divisors", "write % nullif(b, 0)"),
        ("SELECT a / 0 AS x FROM t", "divisors", "write / nullif(0, 0)"),
        ("SELECT CAST(a / 2 AS BIGINT) AS x FROM t", "casts", "write round(a / 2) or trunc(a / 2)"),
        ("SELECT CAST(customer_value AS INT) AS x FROM t", "casts", "write round(customer_value)"),
        ("SELECT TRY_CAST(round(a, 1) AS BIGINT) AS x FROM t", "casts", "write round(ROUND(a, 1))"),
        ("SELECT date_diff('month', a, b) AS x FROM t", "dates", "year(day) * 12 + month(day)"),
        ("SELECT date_diff('day', ordered_at, b) AS x FROM t", "dates", "write CAST(ordered_at AS DATE)"),
        ("SELECT $as_of - first_order_on AS x FROM t", "dates", "write date_diff('day', earlier, later)"),
        ("SELECT date_trunc('month', a) AS x FROM t", "dates", "write CAST(date_trunc(...) AS DATE)"),
        ("SELECT a + 1 AS x FROM t WHERE x > 2", "aliases_in_where", "write the column with its table"),
        ("SELECT sum(customer_value) AS x FROM t", "float_sums", "add DECIMAL or whole cents"),
        ("SELECT avg(CAST(a AS DOUBLE)) AS x FROM t", "float_sums", "add DECIMAL or whole cents"),
        ("SELECT row_number() OVER (PARTITION BY a) AS x FROM t", "windows", "OVER (... ORDER BY key)"),
        ("SELECT lag(a) OVER w AS x FROM t WINDOW w AS (PARTITION BY b)", "windows", "OVER (... ORDER BY key)"),
        ("SELECT string_agg(a, ',') AS x FROM t", "windows", "string_agg(x, ',' ORDER BY key)"),
        ("SELECT a FROM t LIMIT 5", "limits", "write ORDER BY with a key"),
        ("SELECT a FROM t WHERE a > DATE '2020-01-31'", "literals", "bind it: $name, with 'name DATE'"),
        ("SELECT a FROM t WHERE a > 0.5", "literals", "with 'name DOUBLE default 0.5'"),
        ("SELECT a FROM t WHERE a > 10000", "literals", "with 'name BIGINT default 10000'"),
        ("SELECT a FROM t WHERE a > b - INTERVAL 5 DAY", "literals", "compare with date_diff('day', a, b)"),
        ("SELECT a FROM t WHERE a > $least", "parameters", "add 'least TYPE' to '-- parameters:'"),
        ("SELECT t.a FROM t JOIN u ON t.a = u.a", "inputs", "add it to '-- inputs:'"),
        ("SELECT 1 AS a", "inputs", "take it out of '-- inputs:'"),
        ("SELECT * FROM t", "outputs", "name them"),
        ("SELECT t.* FROM t", "outputs", "name them"),
        ("SELECT a FROM t UNION ALL SELECT * FROM t", "outputs", "name them"),
        ("SELECT a + 1 FROM t", "outputs", "write AS name"),
        ("SELECT a FROM t; SELECT a FROM t", "syntax", "one SELECT"),
        ("DELETE FROM t", "syntax", "one SELECT"),
        ("SELECT a FROM", "syntax", ""),
    ],
)
def test_caught_and_told_what_to_write(sql, rule, instead):
    found = findings(sql, "as_of DATE" if "$as_of" in sql else "")
    assert [message for name, message in found if name == rule and instead in message], found


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT a / nullif(b, 0) AS x, a // 7 AS y, a % 12 AS z FROM t",
        "SELECT CAST(count(*) AS INT) AS x, CAST(trunc(sum(a)) AS BIGINT) AS y FROM t",
        "SELECT CAST(revenue * CAST(0.01 AS DECIMAL(3, 2)) AS DECIMAL(18, 2)) AS x FROM t",
        "SELECT sum(CAST(round(customer_value * 100) AS BIGINT)) AS cents FROM t",
        "SELECT date_diff('day', CAST(ordered_at AS DATE), $as_of) AS x FROM t WHERE t.a > 5",
        "SELECT CAST(date_trunc('month', day) AS DATE) AS x FROM t",
        "SELECT TRUE AS found FROM t LIMIT 1",
        "SELECT a FROM t ORDER BY a LIMIT 5",
        "WITH u AS (SELECT * FROM t) SELECT a, row_number() OVER w AS n FROM u WINDOW w AS (ORDER BY a)",
        "SELECT string_agg(a, ',' ORDER BY a) AS x FROM t",
    ],
)
def test_let_through(sql):
    assert findings(sql, "as_of DATE" if "$as_of" in sql else "") == []


@pytest.mark.parametrize(
    ("head", "sql", "said"),
    [
        ({"parameters": "as_of DATE"}, "SELECT a FROM t", "parameter as_of is not used"),
        ({"output": "other"}, "SELECT a FROM t", "give the file its output's name"),
        ({"output": "check_results"}, "SELECT a FROM t", "write '-- severity: blocking'"),
        ({"output": "check_results\n-- severity: warning"}, "SELECT a FROM t", "write '-- message: ...'"),
        (
            {"output": "check_results\n-- severity: info\n-- message: m"},
            "SELECT count(*) AS rows FROM t",
            "columns are rows; check_results has found, example, in this order",
        ),
        ({"parameters": "as_of"}, "SELECT a FROM t", "is not 'name TYPE [default SQL]'"),
        ({"meaning": ""}, "SELECT a FROM t", "begin with a line of it"),
    ],
)
def test_headers(head, sql, said):
    fields = {"meaning": "-- A query.\n", "output": "q", "parameters": ""} | head
    text = "{meaning}-- inputs: t\n-- output: {output}\n-- grain:\n-- parameters: {parameters}\n".format(**fields)
    assert [f for f in lint_text("q", text + sql) if said in f.message], lint_text("q", text + sql)


def test_columns_are_those_of_the_contract_in_order():
    text = "-- Rates.\n-- inputs: t\n-- output: exchange_rates\n-- grain: currency, day\n-- parameters:\n"
    (finding,) = lint_text("exchange_rates", text + "SELECT day, currency, rate FROM t")
    assert finding.message == "columns are day, currency, rate; exchange_rates has currency, day, rate, in this order"


def test_findings_name_file_and_line(tmp_path, capsys):
    path = tmp_path / "q.sql"
    path.write_text(HEADER.format("") + "SELECT\n    a,\n    a / b AS x\nFROM t\n")
    assert main([str(path)]) == 1
    out = capsys.readouterr().out
    assert f"{path}:8: divisors: / b may divide by zero; write / nullif(b, 0)\n" in out
    assert out.endswith("1 files, 1 findings\n")


def test_all_files_pass_from_the_command_line(capsys):
    assert main([]) == 0
    assert capsys.readouterr().out.endswith(" 0 findings\n")


def test_each_rule_is_tested():
    source = __import__("pathlib").Path(__file__).read_text()
    assert not [rule.__name__ for rule in portable_rules.RULES if rule.__name__ not in source]


def test_what_spark_cannot_say_is_an_error():
    with pytest.raises(SettingsError, match="no way to Spark"):
        to_spark("SELECT FROM WHERE")
