-- Which carrier takes which message, what it comes from, and what it costs.

insert into versions (topic, n) values ('routes', 1), ('senders', 1), ('prices', 1);

-- `spec` is what a route matches, its carriers and how it chooses among them. Routes are tried by position.
create table routes (
  id bigint primary key,
  account_id bigint not null,
  mode integer not null,
  name text not null,
  position integer not null,
  enabled integer not null,
  spec text not null,
  version integer not null default 1,
  created_at bigint not null,
  updated_at bigint not null
);

-- Earlier tries of messages that went on to another carrier, and their parts as far as there were any.
create table past_parts (
  message_id bigint not null,
  hop integer not null,
  n integer not null,
  carrier_id bigint not null,
  carrier_message_id text,
  written_id text,
  status integer not null,
  error text,
  carrier_code text,
  sent_at bigint not null,
  done_at bigint,
  primary key (message_id, hop, n)
)
-- only sqlite
without rowid
-- end
;
create index past_parts_by_carrier on past_parts (carrier_message_id, carrier_id) where carrier_message_id is not null;

-- Messages that a carrier has taken and that may have a second route: a receipt that says failed is not their end yet.
create table second_routes (
  message_id bigint primary key,
  due_at bigint not null
);
create index second_routes_due on second_routes (due_at);

-- How carriers do, as each process sees it: counts that fade, and whether its sessions with them are open.
create table carrier_health (
  carrier_id bigint not null,
  token text not null,
  taken double precision not null,
  refused double precision not null,
  delivered double precision not null,
  undelivered double precision not null,
  streak double precision not null,
  sessions double precision not null,
  open double precision not null,
  stalled double precision not null,
  at bigint not null,
  primary key (carrier_id, token)
)
-- only sqlite
without rowid
-- end
;

-- `kind` is number, short_code, name or pool; `spec` what it can do, its registration, or a pool's members.
create table senders (
  id bigint primary key,
  account_id bigint not null,
  mode integer not null,
  kind text not null,
  value text not null,
  enabled integer not null,
  spec text not null,
  version integer not null default 1,
  created_at bigint not null,
  updated_at bigint not null
);
create unique index senders_by_value on senders (account_id, mode, kind, value);

-- What an account sets for a country in place of the rules that Columba comes with.
create table sender_rules (
  account_id bigint not null,
  mode integer not null,
  country text not null,
  spec text not null,
  updated_at bigint not null,
  primary key (account_id, mode, country)
);

-- What a part costs, in millionths of the currency. No carrier (0), country, prefix or class (-1) is any.
create table prices (
  account_id bigint not null,
  mode integer not null,
  carrier_id bigint not null,
  country text not null,
  prefix text not null,
  class integer not null,
  price bigint not null,
  currency text not null,
  updated_at bigint not null,
  primary key (account_id, mode, carrier_id, country, prefix, class)
)
-- only sqlite
without rowid
-- end
;

-- Accounts whose spend is bounded. `spent` is of `day` (days since 1970, UTC).
create table budgets (
  account_id bigint not null,
  mode integer not null,
  currency text not null,
  balance bigint,
  daily_cap bigint,
  unpriced text not null,
  day integer not null default 0,
  spent bigint not null default 0,
  updated_at bigint not null,
  primary key (account_id, mode)
);

-- What was taken from a budget for a message that has not come to its end; `check_at` is when that is looked at.
create table debits (
  message_id bigint primary key,
  account_id bigint not null,
  mode integer not null,
  day integer not null,
  amount bigint not null,
  check_at bigint not null
);
create index debits_due on debits (check_at);

-- What parts cost, as far as a price is known. `hop` counts the carriers that took the message before.
create table costs (
  message_id bigint not null,
  hop integer not null,
  n integer not null,
  account_id bigint not null,
  mode integer not null,
  carrier_id bigint not null,
  price bigint not null,
  currency text not null,
  primary key (message_id, hop, n)
)
-- only sqlite
without rowid
-- end
;
