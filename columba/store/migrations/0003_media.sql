-- Files of messages. The bytes are kept elsewhere, under a name made of account, day and id; here is what they are.
-- `state`: 0 being written, 1 ready, 2 to be fetched, 3 could not be fetched, 4 to be deleted. `origin`: 0 uploaded, 1 from
-- a URL, 2 received with a message. `source` is where one is to be fetched, sealed: carriers put tokens into addresses.

create table media (
  id bigint primary key,
  account_id bigint not null,
  mode integer not null,
  origin integer not null,
  state integer not null,
  used integer not null default 0,
  name text not null,
  content_type text not null default '',
  size bigint not null default 0,
  digest text not null default '',
  source text,
  carrier_id bigint,
  message_id bigint,
  attempts integer not null default 0,
  due_at bigint not null,
  error text,
  updated_at bigint not null
);
create index media_by_account on media (account_id, mode, id);
-- What is still to be done: given up while it was written, fetched, deleted.
create index media_due on media (state, due_at) where state in (0, 2, 4);
create index media_unused on media (id) where state = 1 and used = 0;

-- Which messages use which.
create table message_media (
  message_id bigint not null,
  media_id bigint not null,
  primary key (message_id, media_id)
)
-- only sqlite
without rowid
-- end
;
create index message_media_by_media on message_media (media_id);

-- How much an account keeps, over both of its modes.
create table media_use (
  account_id bigint primary key,
  bytes bigint not null,
  files bigint not null
);
