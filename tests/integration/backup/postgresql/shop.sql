-- SPDX-License-Identifier: GPL-3.0-or-later
-- A database with every type of object that its owner can make.
CREATE SCHEMA sales;
CREATE EXTENSION hstore WITH SCHEMA sales;
CREATE TYPE sales.mood AS ENUM ('good', 'bad; '' \ worse');
CREATE TYPE sales.pair AS (a integer, b text);
CREATE TYPE sales.span AS RANGE (subtype = date);
CREATE DOMAIN sales.positive AS integer CHECK (VALUE > 0);
CREATE COLLATION sales.plain (provider = libc, locale = 'C');
CREATE SEQUENCE sales.numbers START 7 INCREMENT 3;
CREATE TABLE sales.customer (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE sales.plain NOT NULL UNIQUE,
    mood sales.mood DEFAULT 'good',
    twice integer GENERATED ALWAYS AS (id * 2) STORED,
    more sales.hstore
);
CREATE TABLE sales."order; ""quoted""" (
    id integer DEFAULT nextval('sales.numbers') PRIMARY KEY,
    customer integer REFERENCES sales.customer ON DELETE CASCADE,
    amount sales.positive CHECK (amount < 1000000),
    note text,
    bits bytea
);
CREATE INDEX ON sales."order; ""quoted""" (customer) WHERE amount > 10;
CREATE TABLE sales.event (at date NOT NULL, what text) PARTITION BY RANGE (at);
CREATE TABLE sales.event_2025 PARTITION OF sales.event FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE sales.event_rest PARTITION OF sales.event DEFAULT;
CREATE TABLE sales.parent (a integer);
CREATE TABLE sales.child (b integer) INHERITS (sales.parent);
CREATE UNLOGGED TABLE sales.fast (a integer);
CREATE TABLE sales.empty ();
CREATE STATISTICS sales.correlated (dependencies) ON customer, amount FROM sales."order; ""quoted""";
CREATE FUNCTION sales.total(who integer) RETURNS bigint LANGUAGE sql STABLE
    RETURN (SELECT sum(amount) FROM sales."order; ""quoted""" WHERE customer = who);
CREATE FUNCTION sales.atomic() RETURNS integer LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 2 END; END;
CREATE FUNCTION sales.touch() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $body$
BEGIN
    -- A line that looks like another statement:
GRANT ALL ON SCHEMA sales TO PUBLIC;
    NEW.note := coalesce(NEW.note, 'it''s; $$ done');
    RETURN NEW;
END;
$body$;
CREATE PROCEDURE sales.clean() LANGUAGE plpgsql AS $$ BEGIN DELETE FROM sales.fast; END; $$;
CREATE AGGREGATE sales.product (integer) (sfunc = int4mul, stype = integer, initcond = '1');
CREATE OPERATOR sales.<=> (leftarg = integer, rightarg = integer, function = int4eq);
CREATE CAST (sales.pair AS text) WITH INOUT;
CREATE TRIGGER touched BEFORE INSERT OR UPDATE ON sales."order; ""quoted""" FOR EACH ROW
    WHEN (NEW.note IS NULL) EXECUTE FUNCTION sales.touch();
CREATE VIEW sales.rich AS SELECT name, sales.total(id) AS total FROM sales.customer WHERE sales.total(id) > 100;
CREATE MATERIALIZED VIEW sales.summary AS SELECT mood, count(*) FROM sales.customer GROUP BY mood;
CREATE RULE ignored AS ON DELETE TO sales.customer DO INSTEAD NOTHING;
CREATE TEXT SEARCH CONFIGURATION sales.words (COPY = simple);
CREATE TEXT SEARCH DICTIONARY sales.simple (TEMPLATE = simple);
CREATE PUBLICATION published FOR TABLE sales.customer;
ALTER TABLE sales.customer ENABLE ROW LEVEL SECURITY;
CREATE POLICY visible ON sales.customer FOR SELECT TO {reader} USING (mood <> 'bad; '' \ worse');
COMMENT ON TABLE sales.customer IS E'People; \'quoted\' \\ and\nlines';
COMMENT ON COLUMN sales.customer.name IS 'Ünïcode ✓';
INSERT INTO sales.customer (name, mood, more)
    SELECT 'name ' || g, CASE WHEN g % 3 = 0 THEN 'bad; '' \ worse' ELSE 'good' END::sales.mood, sales.hstore('k', g::text)
    FROM generate_series(1, 500) g;
INSERT INTO sales."order; ""quoted""" (customer, amount, note, bits)
    SELECT 1 + g % 500, 1 + g, CASE g % 5 WHEN 0 THEN NULL WHEN 1 THEN E'\\.' WHEN 2 THEN E'a\tb\n\\.\n\\N' ELSE 'n' || g END,
           decode(md5(g::text), 'hex')
    FROM generate_series(1, 5000) g;
INSERT INTO sales.event SELECT '2024-12-25'::date + g, 'e' || g FROM generate_series(1, 400) g;
INSERT INTO sales.parent VALUES (1);
INSERT INTO sales.child VALUES (2, 3);
INSERT INTO sales.fast VALUES (4);
REFRESH MATERIALIZED VIEW sales.summary;
SELECT lo_from_bytea(0, decode(repeat('00ff5c', 20000), 'hex'));
SELECT lo_from_bytea(0, '');
GRANT USAGE ON SCHEMA sales TO {reader};
GRANT SELECT ON ALL TABLES IN SCHEMA sales TO {reader};
GRANT INSERT (name), UPDATE (name) ON sales.customer TO {writer} WITH GRANT OPTION;
GRANT USAGE ON SEQUENCE sales.numbers TO {writer};
REVOKE EXECUTE ON FUNCTION sales.total(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sales.total(integer) TO {reader};
ALTER DEFAULT PRIVILEGES IN SCHEMA sales GRANT SELECT ON TABLES TO {reader};
