-- Consent, quiet hours and content: what people allowed, what accounts have set, what is on its way to be ended.

insert into versions (topic, n) values ('policies', 1);

-- What an account has set for one of the rooms, as JSON: no row is what usually holds. `version` counts its changes.
create table policies (
  account_id bigint not null,
  mode integer not null,
  room text not null,
  data text not null,
  version bigint not null,
  updated_at bigint not null,
  primary key (account_id, mode, room)
);

-- Keys of hashes, sealed by the vault.
create table hash_keys (
  name text primary key,
  sealed text not null
);

-- The ledger: rows are added, and removed only when a person is erased. `sender` '' is every sender, `class` -1 every
-- class; `action` 0 is opt_out, 1 opt_in, 2 an opt-in that is still to be confirmed. `at` is when the person said so.
create table consents (
-- only sqlite
  id integer primary key,
-- end
-- only postgres
  id bigint primary key,
-- end
  account_id bigint not null,
  mode integer not null,
  hash bigint not null,
  number text not null,
  sender text not null,
  class integer not null,
  purpose text,
  action integer not null,
  source text not null,
  at bigint not null,
  words text,
  language text,
  proof text,
  message_id bigint,
  import_id bigint
);
create index consents_by_account on consents (account_id, mode, id);
create index consents_by_number on consents (account_id, mode, hash, id);

-- Where a person stands, by the keyed hash of the number, so that it outlives the number: the newest word on each scope.
-- `changed_by` is the one that made it so, `consent_id` the last that said so.
create table standings (
  account_id bigint not null,
  mode integer not null,
  hash bigint not null,
  sender text not null,
  class integer not null,
  state integer not null,
  at bigint not null,
  consent_id bigint not null,
  changed_by bigint not null,
  primary key (account_id, mode, hash, sender, class)
)
-- only sqlite
without rowid
-- end
;
create index standings_listed on standings (account_id, mode, state, consent_id);

-- Opt-ins that wait for the person's yes.
create table opt_in_requests (
  account_id bigint not null,
  mode integer not null,
  hash bigint not null,
  sender text not null,
  class integer not null,
  consent_id bigint not null,
  expires_at bigint not null,
  primary key (account_id, mode, hash)
);

-- Opt-outs whose messages may still be on their way to the wire: none of those with an id below `before` may leave, but
-- for `spare`, the confirmation. A row goes when no such message is left.
create table stopping (
  consent_id bigint primary key,
  account_id bigint not null,
  mode integer not null,
  hash bigint not null,
  number text not null,
  sender text not null,
  class integer not null,
  before bigint not null,
  spare bigint not null,
  since bigint not null
);

-- What a person is answered: written with what it answers, accepted as the message `id` afterwards, once.
create table consent_replies (
  id bigint primary key,
  account_id bigint not null,
  mode integer not null,
  hash bigint not null,
  number text not null,
  sender text not null,
  kind text not null,
  text text not null,
  at bigint not null,
  done integer not null default 0
);
create index consent_replies_due on consent_replies (at) where done = 0;
create index consent_replies_by_number on consent_replies (account_id, mode, hash, kind, at);

-- Files of rows about persons, of every kind; `defaults` is what was announced.
create table imports (
  id bigint primary key,
  account_id bigint not null,
  mode integer not null,
  kind text not null,
  name text not null,
  defaults text not null,
  state text not null,
  rows_read bigint not null default 0,
  recorded bigint not null default 0,
  unchanged bigint not null default 0,
  refused bigint not null default 0,
  error text,
  created_at bigint not null,
  updated_at bigint not null
);
create index imports_by_account on imports (account_id, mode, kind, id);

create table import_refusals (
  import_id bigint not null,
  n bigint not null,
  number text not null,
  code text not null,
  detail text not null,
  primary key (import_id, n)
)
-- only sqlite
without rowid
-- end
;

-- What content advice came to, by day and reason.
create table content_counts (
  account_id bigint not null,
  mode integer not null,
  day integer not null,
  what text not null,
  reason text not null,
  n bigint not null,
  primary key (account_id, mode, day, what, reason)
);
