-- Contacts: what an account knows of persons, by their numbers.

-- `tags` and `attributes` are JSON. `folded` is the name without regard to case, for looking one up by how it begins.
-- `revision` is that of the last change: who changes a contact does so as it was read.
create table contacts (
-- only sqlite
  id integer primary key,
-- end
-- only postgres
  id bigint primary key,
-- end
  account_id bigint not null,
  mode integer not null,
  number text not null,
  name text,
  folded text
-- only postgres
  collate "C"
-- end
  not null,
  email text,
  language text,
  tags text not null,
  attributes text not null,
  revision bigint not null,
  created_at bigint not null,
  updated_at bigint not null
);
create unique index contacts_by_number on contacts (account_id, mode, number);
create index contacts_by_account on contacts (account_id, mode, id);
create index contacts_by_name on contacts (account_id, mode, folded, id);

create table contact_tags (
  account_id bigint not null,
  mode integer not null,
  tag text not null,
  contact_id bigint not null,
  primary key (account_id, mode, tag, contact_id)
)
-- only sqlite
without rowid
-- end
;
