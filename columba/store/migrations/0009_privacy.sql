-- Privacy: what is being exported and erased, how far retention has come, and who saw or changed what.

-- `sealed` is the number, until the job is done with it; `hash` is a keyed hash of it. A job is one process's while
-- `held_until` lies ahead.
create table privacy_jobs (
  id bigint primary key,
  account_id bigint not null,
  mode integer not null,
  kind text not null,
  hash text not null,
  sealed text,
  state text not null,
  counts text not null,
  created_by bigint not null,
  created_at bigint not null,
  updated_at bigint not null,
  done_at bigint,
  token text not null,
  held_until bigint not null
);
create index privacy_jobs_by_account on privacy_jobs (account_id, mode, id);
create index privacy_jobs_open on privacy_jobs (held_until) where state = 'running';

-- How far retention has come: all of an account's messages below `upto` of this class were dealt with, but for those in
-- privacy_left, which had not ended then.
create table privacy_swept (
  account_id bigint not null,
  mode integer not null,
  class integer not null,
  what text not null,
  upto bigint not null,
  primary key (account_id, mode, class, what)
);
create table privacy_left (
  account_id bigint not null,
  mode integer not null,
  class integer not null,
  what text not null,
  message_id bigint not null,
  primary key (account_id, mode, class, what, message_id)
)
-- only sqlite
without rowid
-- end
;

-- Who saw or changed what: a chain for each account. Each entry's `hash` is of itself and of the one before, with a key that
-- is not here: none can be changed, left out or put in between without all that come after it being other ones. `n` counts
-- without a gap.
create table audit (
  account_id bigint not null,
  n bigint not null,
  mode integer not null,
  at bigint not null,
  entry text not null,
  hash text not null,
  primary key (account_id, n)
)
-- only sqlite
without rowid
-- end
;

-- The newest entry of each chain.
create table audit_heads (
  account_id bigint primary key,
  n bigint not null,
  hash text not null
);

-- Where chains begin, once what is too old was let go: after entry `n`, whose hash this is. `seal` is of both, with the same
-- key: nobody else can let entries go unnoticed.
create table audit_begins (
  account_id bigint primary key,
  n bigint not null,
  hash text not null,
  seal text not null
);

-- What the operator has changed in the store itself and is not in the chain yet: a command need not have the key.
create table audit_left (
  id bigint primary key,
  account_id bigint not null,
  mode integer not null,
  at bigint not null,
  entry text not null
);
