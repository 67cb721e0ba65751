-- Where texts are forwarded to. `spec` is what a destination does; what of it is secret is sealed in `secrets`, and `***`
-- stands in its place.

insert into versions (topic, n) values ('destinations', 1);

create table destinations (
  id bigint primary key,
  account_id bigint not null,
  mode integer not null,
  name text not null,
  description text not null,
  preset text,
  enabled integer not null,
  spec text not null,
  secrets text,
  version bigint not null,
  created_at bigint not null,
  updated_at bigint not null
);

-- Access tokens, sealed: a restart needs no new ones, and a refresh token that was replaced isn't lost.
create table destination_tokens (
  destination_id bigint primary key,
  token text not null,
  updated_at bigint not null
);

-- The secrets of accounts, sealed, by the names that templates and auth have for them.
create table vault_secrets (
  account_id bigint not null,
  mode integer not null,
  name text not null,
  value text not null,
  created_at bigint not null,
  updated_at bigint not null,
  primary key (account_id, mode, name)
);
