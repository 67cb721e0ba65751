-- The main path. Ids are time-ordered 63-bit integers (columba/core/ids.py), times are ms since 1970, statuses are the
-- numbers of columba/core/status.py, event types those of columba/core/events.py. What changes is narrow; what is wide is written once.

create table versions (
  topic text primary key,
  n bigint not null
);
insert into versions (topic, n) values ('config', 1), ('keys', 1), ('webhooks', 1), ('carriers', 1);

-- Which process has which node number (a part of every id it makes).
create table nodes (
  n integer primary key,
  token text not null default '',
  beat bigint not null default 0
);
create index nodes_by_token on nodes (token);
insert into nodes (n)
  with recursive counting(n) as (select 1 union all select n + 1 from counting where n < 1023) select n from counting;

-- One owner a lane, while its process beats; the epoch fences those who lost theirs.
create table lanes (
  id bigint primary key,
  token text not null,
  epoch bigint not null
);

create table accounts (
  id bigint primary key,
  name text not null,
  settings text not null default '{}',
  created_at bigint not null
);

create table keys (
  id bigint primary key,
  account_id bigint not null,
  mode integer not null,
  name text not null,
  secret_hash text not null,
  hint text not null,
  scopes text not null default '[]',
  settings text not null default '{}',
  created_at bigint not null,
  expires_at bigint,
  revoked_at bigint,
  previous_hash text,
  previous_until bigint
);

-- What a key's programs bind with over SMPP; the system_id is made from the key's id.
create table smpp_logins (
  key_id bigint primary key,
  password_hash text not null,
  settings text not null default '{}',
  created_at bigint not null,
  updated_at bigint not null
);

-- Parts of texts that were submitted over SMPP: they wait for the others of the same message.
create table smpp_parts (
  message_id bigint not null,
  n integer not null,
  total integer not null,
  key_id bigint not null,
  key text not null,
  body text not null,
  asked text not null,
  due_at bigint not null,
  primary key (message_id, n)
);
create index smpp_parts_due on smpp_parts (due_at);

-- `id` leaves 63 ids free after it, for its lanes. What of `config` is secret is sealed in `secrets`. `most_lanes` is how
-- many lanes there ever were: those beyond `lanes` are emptied. `revision` counts what needs a new session.
create table carriers (
  id bigint primary key,
  account_id bigint not null,
  mode integer not null,
  name text not null,
  kind text not null,
  config text not null,
  secrets text,
  rate double precision,
  window_size integer,
  lanes integer,
  most_lanes integer not null,
  on_unknown text not null,
  state text not null,
  revision integer not null default 1,
  version integer not null default 1,
  created_at bigint not null,
  updated_at bigint not null
);

-- What the owner of a lane says of its session, for the other processes; it counts while that owner has the lane.
create table carrier_states (
  lane bigint primary key,
  token text not null,
  up integer not null,
  why text not null,
  since bigint not null,
  flying integer not null,
  error text,
  carrier_code text,
  error_at bigint
);

create table messages (
-- only sqlite
  id integer primary key,
-- end
-- only postgres
  id bigint primary key,
-- end
  account_id bigint not null,
  mode integer not null,
  direction integer not null,
  status integer not null,
  class integer not null,
  lane bigint not null,
  to_addr text not null,
  from_addr text not null,
  encoding integer not null,
  segments integer not null,
  due_at bigint not null,
  expires_at bigint not null,
  attempts integer not null default 0,
  updated_at bigint not null,
  last_event bigint not null default 0,
  error text,
  carrier_code text,
  batch_id bigint,
  callback bigint
);
-- What a lane has still to do, in the order in which it does it: 10 is scheduled, 20 queued.
create index messages_pending on messages (lane, class, account_id, due_at, id, expires_at) where status in (10, 20);
create index messages_by_account on messages (account_id, mode, id);
create index messages_by_number on messages (to_addr, id);
create index messages_by_sender on messages (from_addr, id) where from_addr <> '';
create index messages_by_batch on messages (batch_id, id) where batch_id is not null;
-- What a carrier has taken and not told the end of, the oldest first.
create index messages_sent on messages (updated_at) where status = 30;
-- Those that few are in for long; what is on its way or delivered is met soon among the newest.
create index messages_in_trouble on messages (account_id, mode, status, id) where status in (10, 40, 51, 52, 53, 54);

create table bodies (
-- only sqlite
  message_id integer primary key,
-- end
-- only postgres
  message_id bigint primary key,
-- end
  text text,
  extra text
);

create table tags (
  account_id bigint not null,
  mode integer not null,
  tag text not null,
  message_id bigint not null,
  primary key (account_id, mode, tag, message_id)
)
-- only sqlite
without rowid
-- end
;

-- `carrier_message_id` is what receipts name it by; `written_id` is how the carrier wrote it, where that differs. `n` counts
-- from 1; a text from a person is one, 0. No index is about what a receipt changes: so PostgreSQL finds room for the
-- changed row beside the old one, and touches none.
create table parts (
  message_id bigint not null,
  n integer not null,
  carrier_id bigint not null,
  carrier_message_id text,
  written_id text,
  status integer not null,
  error text,
  carrier_code text,
  sent_at bigint not null,
  done_at bigint,
  primary key (message_id, n)
)
-- only sqlite
without rowid
-- end
-- only postgres
with (fillfactor = 70)
-- end
;
create index parts_by_carrier on parts (carrier_message_id, carrier_id) where carrier_message_id is not null;
-- A text from a person is recorded once.
create unique index parts_received on parts (carrier_message_id, carrier_id) where carrier_message_id is not null and n = 0;

-- Parts of texts from people: they wait here for the others of the same `key`. Once joined they stay for a while, emptied,
-- so that one that comes again is known.
create table fragments (
  id bigint primary key,
  key text not null,
  n integer not null,
  total integer not null,
  digest text not null,
  carrier_id bigint not null,
  account_id bigint not null,
  mode integer not null,
  sender text not null,
  to_addr text not null,
  body text not null,
  due_at bigint not null,
  message_id bigint
);
create unique index fragments_by_key on fragments (key, n, digest);
create index fragments_due on fragments (due_at) where message_id is null;

-- Receipts that came before their part's id was known; one that may mean several ids is here under each.
create table parked_receipts (
  event_id bigint not null,
  carrier_id bigint not null,
  carrier_message_id text not null,
  status integer not null,
  error text,
  carrier_code text,
  at bigint not null,
  primary key (event_id, carrier_message_id)
);
create index parked_by_carrier on parked_receipts (carrier_message_id, carrier_id);

create table events (
-- only sqlite
  id integer primary key,
-- end
-- only postgres
  id bigint primary key,
  tx bigint not null default (pg_current_xact_id()::text::bigint),
-- end
  account_id bigint not null,
  mode integer not null,
  type integer not null,
  subject bigint not null,
  at bigint not null,
  data text
);
create index events_by_subject on events (subject, id);
create index events_by_account on events (account_id, mode, id);
-- only postgres
create index events_by_commit on events (account_id, mode, tx, id);
-- end

create table webhooks (
  id bigint primary key,
  account_id bigint not null,
  mode integer not null,
  kind text not null default 'endpoint',
  url text not null,
  events text not null,
  description text not null default '',
  settings text not null default '{}',
  secret text not null,
  previous_secret text,
  previous_until bigint,
  state text not null default 'enabled',
  reason text,
  failing_since bigint,
  failures integer not null default 0,
  reported integer not null default 0,
  created_at bigint not null,
  updated_at bigint not null
);
create unique index webhooks_callbacks on webhooks (account_id, mode, url) where kind = 'callback';

-- A webhook's event patterns, spelled out, so that the transaction which writes an event finds its deliveries.
create table subscriptions (
  account_id bigint not null,
  mode integer not null,
  type integer not null,
  endpoint_id bigint not null,
  primary key (account_id, mode, type, endpoint_id)
)
-- only sqlite
without rowid
-- end
;

-- `base` is how many attempts there were when it was last replayed: from there the retry schedule begins anew.
create table deliveries (
  endpoint_id bigint not null,
  event_id bigint not null,
  status integer not null default 0,
  due_at bigint not null,
  attempts integer not null default 0,
  base integer not null default 0,
  updated_at bigint not null,
  answer_status integer,
  latency_ms integer,
  error text,
  answer text,
  primary key (endpoint_id, event_id)
)
-- only sqlite
without rowid
-- end
;
create index deliveries_pending on deliveries (endpoint_id, due_at, event_id) where status = 0;
create index deliveries_by_event on deliveries (event_id);
create index deliveries_failed on deliveries (endpoint_id, event_id) where status = 2;

-- Attempts that failed, and those that succeeded before a replay; the last success stands in the delivery itself.
create table attempts (
  endpoint_id bigint not null,
  event_id bigint not null,
  n integer not null,
  at bigint not null,
  answer_status integer,
  latency_ms integer,
  error text,
  answer text,
  url text,
  primary key (endpoint_id, event_id, n)
)
-- only sqlite
without rowid
-- end
;

create table idempotency (
  account_id bigint not null,
  mode integer not null,
  key text not null,
  ref bigint not null,
  body_hash text not null,
  status integer,
  answer text,
  created_at bigint not null,
  primary key (account_id, mode, key)
)
-- only sqlite
without rowid
-- end
;
create index idempotency_by_age on idempotency (created_at);
